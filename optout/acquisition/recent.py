"""The most recently used values of something, for any number of threads."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Key = TypeVar("Key")
Value = TypeVar("Value")


class Recent(Generic[Key, Value]):
    """Values by key, the least recently used forgotten first, so that what thousands of origins share is read once."""

    def __init__(self, capacity: int) -> None:
        """Keep so many."""
        self._capacity = capacity
        self._values: OrderedDict[Key, Value] = OrderedDict()
        self._lock = Lock()

    def peek(self, key: Key) -> Value | None:
        """The value of a key, if it is known."""
        with self._lock:
            value = self._values.get(key)
            if value is not None:
                self._values.move_to_end(key)
            return value

    def put(self, key: Key, value: Value) -> None:
        """Know the value of a key."""
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            if len(self._values) > self._capacity:
                self._values.popitem(last=False)

    def get(self, key: Key, make: Callable[[Key], Value]) -> Value:
        """The value of a key, made where it is not known; two threads may make it at the same time."""
        value = self.peek(key)
        if value is None:
            value = make(key)
            self.put(key, value)
        return value

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._values.clear()
