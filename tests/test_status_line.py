import io

import pytest

from gan_core.status_line import StatusWriter, duration, status_line

SCALARS = {
    "images_seen": 153_600,
    "images_per_sec": 231.4,
    "steps_per_sec": 1.8,
    "data_wait": 0.0012,
    "memory_gib": 2.1,
    "discriminator/loss": 0.9124,
    "generator/loss": 1.8,
    "discriminator/real_probability": 0.71,
    "discriminator/fake_probability": 0.28,
}


def test_status_line_says_all_a_user_asks_for():
    assert status_line(1200, 3000, SCALARS) == (
        "step 1,200/3,000 (40%) | 153,600 images | 231 images/s | data wait 0.1% | ETA 16m 40s | "
        "d_loss 0.912 | g_loss 1.800 | D(real) 0.710 | D(fake) 0.280 | 2.10 GiB"
    )


def test_status_line_leaves_out_what_is_not_known():
    assert status_line(1, 10, {"generator/loss": 0.5}) == "step 1/10 (10%) | g_loss 0.500"


def test_lines_alone_where_there_is_no_terminal():
    stream = io.StringIO()
    status = StatusWriter(100, 0, stream)
    status.advance(10)
    status.write_scalars(10, {"generator/loss": 0.5})
    status.close()
    assert stream.getvalue() == "step 10/100 (10%) | g_loss 0.500\n"


def test_a_bar_on_a_terminal():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    status = StatusWriter(100, 20, stream)
    status.advance(50)
    status.write_scalars(50, {})
    status.close()
    assert "50/100" in stream.getvalue()
    assert "step 50/100 (50%)\n" in stream.getvalue()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0s"), (59.6, "1m 00s"), (725, "12m 05s"), (11_220, "3h 07m"), (187_200, "2d 04h")],
)
def test_duration(seconds, words):
    assert duration(seconds) == words
