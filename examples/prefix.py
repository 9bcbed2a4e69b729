"""Small helpers for lists."""


def running_total(numbers):
    """Return the sums of the first 1, 2, … numbers."""
    total = 0
    result = []
    for number in numbers:
