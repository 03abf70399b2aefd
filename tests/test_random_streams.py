import itertools

from gan_core.random_streams import stream_seed


def test_seed_stream_and_index_each_give_another_seed():
    seeds = [
        tuple(stream_seed(seed, stream, index).numpy())
        for seed, stream, index in itertools.product((0, 1), ("a", "b"), (0, 1, 2**40))
    ]
    assert len(set(seeds)) == len(seeds)
    assert seeds[0] == tuple(stream_seed(0, "a", 0).numpy())
