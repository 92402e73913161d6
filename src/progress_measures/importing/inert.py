"""Read pickles as data: nothing that a pickle names is imported, looked up or called.

A pickle is a program for a stack machine. `Machine` runs the instructions that build plain values. Instead of an import
or a call, it records a `Global` or a `Call`; the module `plain` converts these records to values.

A pickle with names that serve to run code, such as `os.system`, is rejected, although nothing would run.
"""

from __future__ import annotations

import pickletools
import re
from dataclasses import dataclass, field
from typing import IO, Any

MAX_INSTRUCTIONS = 50_000_000  # of one file; each takes about 100 bytes of memory

_OLD_MODULES = {"__builtin__": "builtins", "copy_reg": "copyreg", "UserDict": "collections"}  # names in Python 2
# Builtins that make values and run no other code.
_BUILTINS = re.compile(
    r"set|frozenset|bytearray|bytes|complex|slice|range|xrange|dict|list|tuple|int|long|float|str|unicode|"
    r"bool|object|type"
)
# Modules that serve to run code, read and write files or use the network.
_DANGEROUS = re.compile(
    r"os|posix|nt|posixpath|ntpath|subprocess|sys|runpy|shutil|importlib|imp|operator|_operator|"
    r"functools|_functools|pickle|_pickle|cPickle|marshal|dill|cloudpickle|joblib|ctypes|_ctypes|code|"
    r"codeop|inspect|io|_io|socket|_socket|pty|commands|popen2|webbrowser|pdb|bdb|timeit|cProfile|"
    r"profile|trace|asyncio|multiprocessing|concurrent|threading|_thread|tempfile|platform|signal|gc|"
    r"atexit|pkgutil|zipimport|site|sysconfig|distutils|setuptools|pip|ensurepip|venv|http|urllib|"
    r"ftplib|smtplib|telnetlib|xmlrpc|builtins|codecs|doctest|unittest|idlelib|lib2to3|turtledemo|"
    r"linecache|tokenize|ast|symtable|fileinput|glob|mmap|fcntl|resource|shelve|dbm|sqlite3|zipfile|"
    r"tarfile|logging|__torch__"
)
# Functions of PyTorch and NumPy that only make tensors, arrays and their types; all others are rejected.
TENSOR_CALLS = re.compile(
    r"torch\._utils\._rebuild_(tensor|tensor_v2|tensor_v3|parameter|parameter_with_state|sparse_tensor|qtensor|"
    r"meta_tensor_no_storage|device_tensor_from_numpy|device_tensor_from_cpu_tensor)"
)
_TORCH_CALLS = re.compile(
    rf"{TENSOR_CALLS.pattern}|torch\._tensor\._rebuild_from_type_v2|torch\.nn\.parameter\.Parameter|"
    r"torch\.storage\._load_from_bytes|torch\.Size|torch\.device|torch\.serialization\._get_layout"
)
_NUMPY_CALLS = re.compile(
    r"numpy\.(dtype|_?core\.multiarray\.(scalar|_reconstruct)|_?core\.numeric\._frombuffer|random\.\w+(\.\w+)?)"
)


class CodeFoundError(Exception):
    """A pickle names a function or class that could run code; the message is this name."""


@dataclass(slots=True, eq=False)
class Global:
    """A name that a pickle would import."""

    text: str  # at first as in the file, `module name`; after the initialization `module.name`
    module: str = field(init=False)
    name: str = field(init=False)

    def __post_init__(self) -> None:
        module, _, self.name = self.text.partition(" ")
        first, dot, rest = module.partition(".")
        self.module = _OLD_MODULES.get(first, first) + dot + rest
        self.text = f"{module}.{self.name}"
        if self.module == "builtins":
            is_harmless = _BUILTINS.fullmatch(self.name) is not None or self.name == "getattr"
        elif self.module == "types":
            is_harmless = self.name == "SimpleNamespace"
        else:
            is_harmless = _DANGEROUS.fullmatch(first) is None
        if not is_harmless:
            raise CodeFoundError(self.text)

    @property
    def full(self) -> str:
        """The name with its module, as in Python 3 and NumPy 2."""
        return f"{self.module}.{self.name}".replace("numpy.core.", "numpy._core.")


@dataclass(slots=True, eq=False)
class Call:
    """A call that a pickle would make, and what it would do with the result."""

    function: Global
    arguments: tuple[Any, ...]
    is_new: bool = False  # the call makes an object of a class, such as `cls.__new__(cls, *arguments)`
    states: list[Any] = field(default_factory=list)  # arguments of `__setstate__`
    items: list[tuple[Any, Any]] = field(default_factory=list)  # arguments of `__setitem__`, and keyword arguments
    appended: list[Any] = field(default_factory=list)  # arguments of `append`


@dataclass(slots=True, eq=False)
class UnhashedDict:
    """The items of a dictionary; its keys are not hashed, because hashing a deeply nested key can overflow the C stack."""

    items: list[tuple[Any, Any]]


@dataclass(slots=True, eq=False)
class Storage:
    """The numbers of one or more tensors, which are stored elsewhere in the file."""

    # persistent id: "storage", type, key, device, number of elements; in old files also (key, offset, length) of a part
    pid: tuple[Any, ...]


_MARK = object()  # on the stack, it marks where the values of the next tuple, list or dictionary begin
# Instructions that put their argument on the stack.
_PUSHED = re.compile(
    r"(SHORT_)?BIN(BYTES|STRING|UNICODE)8?|BININT[12]?|INT|LONG[14]?|STRING|UNICODE|BYTEARRAY8|(BIN)?FLOAT"
)
_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": (), "MARK": _MARK}
_ARGUMENTS = frozenset(opcode.name for opcode in pickletools.opcodes if _PUSHED.fullmatch(opcode.name))
_MEMO_WRITES = frozenset(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"))  # store the top of the stack under a number


class Machine:
    """The stack machine of pickles, without imports and calls.

    Attributes:
        stream: the bytes of one or more pickles.
        persistent: persistent ids of the storages that the pickles refer to; see `Storage`.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream
        self.persistent: list[tuple[Any, ...]] = []
        self._instructions = 0
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def load(self) -> Any:
        """Run the instructions of the next pickle in the stream, and return its object; calls in it are recorded, not made."""
        self._stack, self._memo = [], {}
        stack, memo = self._stack, self._memo
        argument: Any
        for opcode, argument, _ in pickletools.genops(self.stream):
            name = opcode.name
            self._instructions += 1
            if self._instructions > MAX_INSTRUCTIONS:
                raise ValueError(f"the pickle has more than {MAX_INSTRUCTIONS} instructions")
            if name in _ARGUMENTS:
                stack.append(argument)
            elif name in _CONSTANTS:
                stack.append(_CONSTANTS[name])
            elif name in _MEMO_WRITES:
                memo[len(memo) if argument is None else argument] = stack[-1]
            elif name in ("GET", "BINGET", "LONG_BINGET"):
                stack.append(memo[argument])
            elif name == "POP":  # of a value or a mark
                stack.pop()
            elif name not in ("PROTO", "FRAME", "STOP"):
                instruction = getattr(self, f"_{name.lower()}", None)
                if instruction is None:
                    raise ValueError(f"the instruction {name} is not supported")
                instruction(argument)
        return self._pop()

    def _pop(self) -> Any:
        value = self._stack.pop()
        if value is _MARK:
            raise ValueError("the pickle's stack is empty")
        return value

    def _pop_to_mark(self) -> list[Any]:
        """Remove the last mark and everything above it from the stack, and return what was above."""
        position = len(self._stack) - 1
        while self._stack[position] is not _MARK:
            position -= 1
            if position < 0:
                raise ValueError("the pickle's stack has no mark")
        values = self._stack[position + 1 :]
        del self._stack[position:]
        return values

    def _dup(self, _: Any) -> None:
        self._stack.append(self._stack[-1])

    def _pop_mark(self, _: Any) -> None:
        self._pop_to_mark()

    def _empty_list(self, _: Any) -> None:
        self._stack.append([])

    _empty_set = _empty_list  # sets become lists, because their elements are not hashed

    def _empty_dict(self, _: Any) -> None:
        self._stack.append(UnhashedDict([]))

    def _list(self, _: Any) -> None:
        self._stack.append(self._pop_to_mark())

    _frozenset = _list  # a list, for the same reason as a set

    def _tuple(self, _: Any) -> None:
        self._stack.append(tuple(self._pop_to_mark()))

    def _tuple1(self, _: Any) -> None:
        self._stack.append((self._pop(),))

    def _tuple2(self, _: Any) -> None:
        second, first = self._pop(), self._pop()
        self._stack.append((first, second))

    def _tuple3(self, _: Any) -> None:
        third, second, first = self._pop(), self._pop(), self._pop()
        self._stack.append((first, second, third))

    def _dict(self, _: Any) -> None:
        self._stack.append(UnhashedDict(_keys_with_values(self._pop_to_mark())))

    def _append(self, _: Any) -> None:
        self._extend([self._pop()])

    def _appends(self, _: Any) -> None:
        self._extend(self._pop_to_mark())

    _additems = _appends

    def _extend(self, values: list[Any]) -> None:
        target = self._stack[-1]
        if isinstance(target, Call):
            target = target.appended
        if not isinstance(target, list):
            raise ValueError("the pickle appends to something that is not a list")
        target.extend(values)

    def _setitem(self, _: Any) -> None:
        value, key = self._pop(), self._pop()
        self._set_items([(key, value)])

    def _setitems(self, _: Any) -> None:
        self._set_items(_keys_with_values(self._pop_to_mark()))

    def _set_items(self, items: list[tuple[Any, Any]]) -> None:
        target = self._stack[-1]
        if not isinstance(target, Call | UnhashedDict):
            raise ValueError("the pickle sets an item of something that is not a dictionary")
        target.items.extend(items)

    def _global(self, argument: str) -> None:
        self._stack.append(Global(argument))

    def _stack_global(self, _: Any) -> None:
        name, module = self._pop(), self._pop()
        if not (isinstance(name, str) and isinstance(module, str)):
            raise ValueError("the pickle has a name that is not text")
        self._stack.append(Global(f"{module} {name}"))

    def _reduce(self, _: Any) -> None:
        arguments, function = self._pop(), self._pop()
        self._stack.append(record_call(function, arguments))

    def _newobj(self, _: Any) -> None:
        arguments, cls = self._pop(), self._pop()
        self._stack.append(record_call(cls, arguments, is_new=True))

    def _newobj_ex(self, _: Any) -> None:
        options, arguments, cls = self._pop(), self._pop(), self._pop()
        call = record_call(cls, arguments, is_new=True)
        if isinstance(call, Call) and isinstance(options, UnhashedDict):
            call.items.extend(options.items)
        self._stack.append(call)

    def _obj(self, _: Any) -> None:
        cls, *arguments = self._pop_to_mark()
        self._stack.append(record_call(cls, tuple(arguments), is_new=True))

    def _inst(self, argument: str) -> None:
        self._stack.append(record_call(Global(argument), tuple(self._pop_to_mark()), is_new=True))

    def _build(self, _: Any) -> None:
        state, target = self._pop(), self._stack[-1]
        if not isinstance(target, Call):
            raise ValueError("the pickle sets the state of something that is not an object")
        state_names = {key for key, _ in state.items if type(key) is str} if isinstance(state, UnhashedDict) else set()
        if {"_parameters", "_modules"} <= state_names:  # an entire torch module, which only its own code can build
            raise CodeFoundError(target.function.text)
        target.states.append(state)

    def _binpersid(self, _: Any) -> None:
        pid = self._pop()
        # old versions of torch store an entire module with its source code
        if isinstance(pid, tuple) and len(pid) > 1 and pid[0] == "module" and isinstance(pid[1], Global):
            raise CodeFoundError(pid[1].text)
        if not (isinstance(pid, tuple) and len(pid) >= 5 and pid[0] == "storage" and isinstance(pid[2], str | int)):
            raise ValueError("the pickle refers to something that is not the storage of a tensor")
        self.persistent.append(pid)
        self._stack.append(Storage(pid))


def _keys_with_values(values: list[Any]) -> list[tuple[Any, Any]]:
    """Group a list of alternating keys and values."""
    if len(values) % 2:
        raise ValueError("the pickle has a key without a value")
    return list(zip(values[::2], values[1::2], strict=True))


def record_call(function: Any, arguments: Any, is_new: bool = False) -> Call:
    """Return the record of a call, which is not made.

    Args:
        function: the called function or class, a `Global`.
        arguments: its arguments, a tuple.
        is_new: whether the call makes an object of a class.

    Raises:
        CodeFoundError: the function could run code: it is a function of PyTorch or NumPy that `_TORCH_CALLS` and `_NUMPY_CALLS`
            lack, or it reads an attribute that is not the member of an enumeration.
        ValueError: the pickle calls something that is not a function or class.
    """
    if not isinstance(function, Global) or not isinstance(arguments, tuple):
        raise ValueError("the pickle calls something that is not a function or class")
    name = function.full
    if name in ("copyreg._reconstructor", "copyreg.__newobj__", "copyreg.__newobj_ex__") and arguments:
        if not name.endswith("_reconstructor"):
            return record_call(arguments[0], arguments[1:], is_new=True)
        call = record_call(arguments[0], (), is_new=True)
        # The third argument is the list, dictionary or value that an object of a derived class starts with.
        content = arguments[2] if len(arguments) > 2 else None
        if isinstance(content, list):
            call.appended.extend(content)
        elif isinstance(content, UnhashedDict):
            call.items.extend(content.items)
        elif content is not None:
            call.arguments = content if isinstance(content, tuple) else (content,)
        return call
    if name == "builtins.getattr":
        # Members of an enumeration in Python 3.11: `getattr(Kind, "NAME")`.
        owner, attribute = arguments if len(arguments) == 2 else (None, None)
        is_member = isinstance(owner, Global) and owner.module.partition(".")[0] not in ("torch", "numpy", "builtins")
        if not (is_member and type(attribute) is str):
            raise CodeFoundError(function.text)
    first = function.module.partition(".")[0]
    # the argument of `_load_from_bytes` is bytes, which protocols before 3 write as a call of `_codecs.encode`
    is_storage = name == "torch.storage._load_from_bytes"
    if (
        (first == "torch" and not _TORCH_CALLS.fullmatch(name))
        or (first == "numpy" and not _NUMPY_CALLS.fullmatch(name))
        or (is_storage and not (len(arguments) == 1 and isinstance(arguments[0], bytes | Call)))
    ):
        raise CodeFoundError(function.text)
    return Call(function, arguments, is_new)
