import threading

from gan_core.types import computed_once


class Counting:
    def __init__(self, barrier=None):
        self.count = 0
        self.barrier = barrier

    @computed_once
    def value(self):
        """The value."""
        if self.barrier:
            self.barrier.wait(10)
        self.count += 1
        return self.count


def test_computed_when_asked_for_and_kept():
    one, other = Counting(), Counting()
    assert one.count == 0
    assert (one.value, one.value, one.count, other.count) == (1, 1, 1, 0)
    assert Counting.value.__doc__ == "The value."


def test_threads_may_wait_for_each_other_within_it():
    """As replicas do while they are traced."""
    barrier = threading.Barrier(2)
    objects = [Counting(barrier), Counting(barrier)]
    threads = [threading.Thread(target=lambda each=each: each.value) for each in objects]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert [each.count for each in objects] == [1, 1]
