"""Language of a file by its name, under the folder names of StarCoderData.

Where StarCoderData has no folder for a language (asciidoc, toml), GitHub Linguist's name in small letters with hyphens is used.
Extensions that several languages claim (.h, .m, .pl, .v) go to the language that most files with them are in.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Final

from pipelines.sources.settings import Kind

PROSE: Final = frozenset({"asciidoc", "markdown", "restructuredtext", "text"})
"""Languages whose files are natural language."""

DATA: Final = frozenset({"csv", "diff", "json", "jupyter-notebook", "po", "toml", "xml", "yaml"})
"""Languages whose files are data more often than programs."""

_EXTENSIONS: Final = {
    "ada": "adb ads ada",
    "agda": "agda",
    "antlr": "g4",
    "asciidoc": "adoc asciidoc",
    "assembly": "asm s",
    "awk": "awk",
    "batchfile": "bat cmd",
    "c": "c h",
    "c-sharp": "cs",
    "clojure": "clj cljs cljc",
    "cmake": "cmake",
    "common-lisp": "lisp lsp",
    "cpp": "cpp cc cxx hpp hh hxx inl ipp",
    "css": "css scss less",
    "csv": "csv tsv",
    "cuda": "cu cuh",
    "cython": "pyx pxd pxi",
    "dart": "dart",
    "diff": "diff patch",
    "elixir": "ex exs",
    "elm": "elm",
    "emacs-lisp": "el",
    "erlang": "erl hrl",
    "f-sharp": "fs fsi fsx",
    "fortran": "f90 f95 f03 f08 f for",
    "glsl": "glsl vert frag comp",
    "go": "go",
    "groovy": "groovy gradle",
    "haskell": "hs lhs",
    "html": "html htm xhtml",
    "idris": "idr",
    "isabelle": "thy",
    "java": "java",
    "java-server-pages": "jsp",
    "javascript": "js mjs cjs jsx",
    "json": "json",
    "jupyter-notebook": "ipynb",
    "julia": "jl",
    "kotlin": "kt kts",
    "lean": "lean",
    "lua": "lua",
    "m4": "m4 ac",
    "makefile": "mk mak",
    "maple": "mpl",
    "markdown": "md markdown mkd",
    "matlab": "m",
    "ocaml": "ml mli",
    "pascal": "pas pp",
    "perl": "pl pm t",
    "php": "php",
    "po": "po pot",
    "powershell": "ps1 psm1 psd1",
    "prolog": "prolog",
    "protocol-buffer": "proto",
    "python": "py pyi pyw",
    "r": "r",
    "racket": "rkt",
    "restructuredtext": "rst",
    "rmarkdown": "rmd",
    "ruby": "rb rake gemspec",
    "rust": "rs",
    "sas": "sas",
    "scala": "scala sc",
    "scheme": "scm ss",
    "shell": "sh bash zsh",
    "smalltalk": "st",
    "solidity": "sol",
    "sparql": "sparql rq",
    "sql": "sql",
    "stan": "stan",
    "standard-ml": "sml sig",
    "stata": "ado do",
    "swift": "swift",
    "systemverilog": "sv svh",
    "tcl": "tcl",
    "tcsh": "csh tcsh",
    "tex": "tex sty cls bib",
    "text": "txt",
    "thrift": "thrift",
    "toml": "toml",
    "typescript": "ts tsx mts cts",
    "verilog": "v vh",
    "vhdl": "vhd vhdl",
    "visual-basic": "vb vbs bas",
    "vue": "vue",
    "xml": "xml xsd svg",
    "xslt": "xsl xslt",
    "yacc": "y yy",
    "yaml": "yaml yml",
    "zig": "zig",
}

_NAMES: Final = {
    "cmakelists.txt": "cmake",
    "dockerfile": "dockerfile",
    "gnumakefile": "makefile",
    "makefile": "makefile",
    "rakefile": "ruby",
    "readme": "text",
}

_BY_EXTENSION: Final = {extension: language for language, words in _EXTENSIONS.items() for extension in words.split()}


def language_of(path: str) -> str:
    """Language of a file name, or "" for names that say nothing."""
    name = PurePosixPath(path).name.lower()
    return _NAMES.get(name) or _BY_EXTENSION.get(PurePosixPath(name).suffix[1:], "")


def kind_of(language: str) -> Kind:
    """Natural language is "prose", all else is "code"."""
    return "prose" if language in PROSE else "code"


def from_linguist(name: str) -> str:
    """StarCoderData's folder name for a language name of GitHub Linguist, as The Stack has it: "C++" → "cpp"."""
    small = name.strip().lower()
    return {"c++": "cpp", "c#": "c-sharp", "f#": "f-sharp"}.get(small, small.replace(" ", "-"))
