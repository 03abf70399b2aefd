import io

import pytest

from gan_core.run import Plan
from gan_core.run.status_line import (
    LateDecayWarning,
    StatusWriter,
    duration,
    say,
    status_heading,
    status_line,
)

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
    assert status_heading() == (
        "     step done      ETA images/s   wait  d_loss  g_loss  D(real)  D(fake)   GiB"
    )
    assert status_line(1200, 3000, SCALARS, 1000) == (
        "    1,200  40%  16m 40s      231   0.1%   0.912   1.800    0.710    0.280  2.10"
    )


def test_what_is_not_known_is_a_dash():
    assert status_line(1, 10, {"generator/loss": 0.5}).split() == [
        "1", "10%", "-", "-", "-", "-", "0.500", "-", "-", "-",
    ]  # fmt: skip


@pytest.mark.parametrize("value", [-1.23456789, 123456.789, -1e300, 1e-9, 0.0, float("nan")])
@pytest.mark.parametrize("step", [1, 999_999])
def test_no_value_makes_a_line_too_long_for_a_terminal(value, step):
    scalars = dict.fromkeys(SCALARS, value) | {"data_wait": 1.0, "memory_gib": 1999.0}
    line = status_line(step, 999_999, scalars, 9e6)
    assert len(line) <= 79
    assert len(line.split()) == 11  # the time left is two words


def test_lines_alone_where_there_is_no_terminal():
    stream = io.StringIO()
    status = StatusWriter(Plan(total_steps=100), 0, stream)
    for step in range(10, 40):
        status.advance(step)
        status.write_scalars(step, {"generator/loss": 0.5})
    status.close()
    lines = stream.getvalue().splitlines()
    assert lines[0] == lines[21] == status_heading()
    assert lines[1] == status_line(10, 100, {"generator/loss": 0.5})
    assert len(lines) == 30 + 2


def test_the_time_left_is_that_of_the_limit_where_that_ends_the_run():
    """Ten steps a second and 30 seconds: step 400 is the last, whatever the steps would be."""
    stream = io.StringIO()
    status = StatusWriter(Plan(total_steps=1_000_000), 0, stream, time_left=lambda: 30.0)
    status.write_scalars(100, {"steps_per_sec": 10.0})
    assert stream.getvalue().splitlines()[1].split()[:3] == ["100", "25%", "30s"]
    stream = io.StringIO()
    StatusWriter(Plan(total_steps=200), 0, stream, time_left=lambda: 30.0).write_scalars(
        100, {"steps_per_sec": 10.0}
    )
    assert stream.getvalue().splitlines()[1].split()[:3] == ["100", "50%", "10s"]


def test_it_forecasts_the_last_step_from_the_smoothed_speed_and_the_time_left():
    found, seconds = [], [30.0]
    plan = Plan(total_steps=1000)
    status = StatusWriter(plan, stream=io.StringIO(), time_left=lambda: seconds[0])
    status._warn_of_late_decay = lambda *steps: found.append(steps)
    status.write_scalars(1, {})  # the first call alone: no speed is known yet
    status.write_scalars(100, {"steps_per_sec": 10.0})
    seconds[0] = 13.0
    status.write_scalars(200, {"steps_per_sec": 5.0})  # 0.13 s a step
    seconds[0] = 1e6
    status.write_scalars(300, {"steps_per_sec": 5.0})
    assert found == [(100, 400), (200, 300), (300, 1000)]


def test_one_smoothed_time_left():
    """Ten steps a second, then one that was slow for another reason, then ten again."""
    stream = io.StringIO()
    status = StatusWriter(Plan(total_steps=1000), 0, stream)
    status.write_scalars(1, {})  # the first call alone: no speed is known yet
    for step, speed in ((100, 10.0), (200, 5.0), (300, 10.0)):
        status.write_scalars(step, {"steps_per_sec": speed})
    left = [line.split("%")[1][:9].strip() for line in stream.getvalue().splitlines()[1:]]
    # 0.1 s a step; 0.1 + 0.3 * 0.1; 0.13 - 0.3 * 0.03
    assert left == ["-", "1m 30s", "1m 44s", "1m 25s"]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_what_is_said_is_broken_between_words_on_a_terminal_only(monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    words = "data: a/path-of/more-than-thirty/characters and more words"
    stream, terminal = io.StringIO(), Terminal()
    say(words, stream)
    say(words, terminal)
    assert stream.getvalue() == words + "\n"
    assert terminal.getvalue().splitlines() == [
        "data:",
        "  a/path-of/more-than-thirty/characters",
        "  and more words",
    ]


def test_what_is_said_stands_above_the_bar(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    status = StatusWriter(Plan(total_steps=100), 20)
    say("words")
    status.close()
    before, after = terminal.getvalue().split("words\n")
    assert before.endswith("\r")
    assert "20/100" in after


def test_a_bar_on_a_terminal():
    stream = Terminal()
    status = StatusWriter(Plan(total_steps=100), 20, stream)
    status.advance(50)
    status.write_scalars(50, {})
    status.close()
    assert "50/100" in stream.getvalue()
    assert status_line(50, 100, {}) + "\n" in stream.getvalue()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0s"), (59.6, "1m 00s"), (725, "12m 05s"), (11_220, "3h 07m"), (187_200, "2d 04h")],
)
def test_duration(seconds, words):
    assert duration(seconds) == words


def told(forecasts, **settings):
    """The lines that are printed, with their steps, of forecasts (step, last step)."""
    lines = []
    defaults = {"total_steps": 10**6, "total_minutes": 20, "learning_rate_decay_steps": 15000}
    warn = LateDecayWarning(Plan(**(defaults | settings)), say=lambda w: lines.append((step, w)))
    for step, last_step in forecasts:
        assert warn(step, last_step) is None
    return lines


def test_it_is_told_once_after_a_twentieth_of_the_run_with_the_steps_to_give():
    ((step, words),) = told([(50, 90_000), (200, 4230), (212, 4230), (250, 4230), (300, 4000)])
    assert step == 212  # 200 is less than a twentieth; the first forecast was no good
    assert "20 minutes are about 4,200 steps" in words
    assert "fall until step 15,000" in words
    assert "learning_rate_decay_steps=4200" in words


@pytest.mark.parametrize(("last_step", "is_told"), [(4799, True), (4800, False)])
def test_it_is_told_below_four_fifths_of_the_decay(last_step, is_told):
    assert bool(told([(1000, last_step)], learning_rate_decay_steps=6000)) == is_told


def test_nothing_is_told_of_a_run_that_ends_for_its_steps():
    assert not told([(1000, 4000)], total_steps=4000)


def test_steps_that_the_warm_up_takes_are_not_advised():
    """They would be refused: rates that fall must do so after their warm-up."""
    ((_, words),) = told([(300, 400)], learning_rate_warm_up_steps=400)
    assert "learning_rate_decay_steps=" not in words
    assert "give a larger total_minutes" in words


@pytest.mark.parametrize("name", ["total_minutes", "learning_rate_decay_steps"])
def test_nothing_is_told_without_a_limit_or_a_decay(name):
    assert not told([(1000, 4000)], **{name: {"total_minutes": None}.get(name, 0)})
