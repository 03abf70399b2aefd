import pytest

from gan_core import ArgumentError
from gan_core.fast import precision


@pytest.mark.parametrize(
    ("cpu_flags", "policy"),
    [
        ({"avx512f"}, "float32"),
        ({"avx512f", "avx512_bf16"}, "mixed_bfloat16"),
        ({"amx_bf16"}, "mixed_bfloat16"),
    ],
)
def test_auto_follows_the_cpu_where_there_is_no_gpu(cpu_flags, policy, monkeypatch):
    monkeypatch.setattr(precision.tf.config, "list_physical_devices", lambda kind: [])
    monkeypatch.setattr(precision, "_cpu_flags", lambda: cpu_flags)
    chosen, reason = precision.choose_precision("auto")
    assert chosen == policy
    assert "the CPU" in reason


@pytest.mark.parametrize(
    ("capabilities", "policy"),
    [
        ([(8, 0), (9, 0)], "mixed_bfloat16"),
        ([(9, 0), (7, 5)], "float32"),
        ([None], "float32"),
    ],
)
def test_auto_follows_the_weakest_gpu(capabilities, policy, monkeypatch):
    monkeypatch.setattr(precision.tf.config, "list_physical_devices", lambda kind: capabilities)
    monkeypatch.setattr(
        precision.tf.config.experimental,
        "get_device_details",
        lambda gpu: {"compute_capability": gpu} if gpu else {},
    )
    assert precision.choose_precision("auto")[0] == policy


def test_a_name_stands_for_itself_and_an_unknown_one_is_refused():
    assert precision.choose_precision("mixed_float16")[0] == "mixed_float16"
    with pytest.raises(ArgumentError, match=r"`precision` \(int8\) .* use one of auto, float32"):
        precision.choose_precision("int8")
