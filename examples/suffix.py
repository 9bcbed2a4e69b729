        result.append(total)
    return result
