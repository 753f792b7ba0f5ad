// The order in which blocks and threads get their turn: who chose it, and how the next decision is taken.
#include "errors.h"
#include "ready.h"

namespace emulate {

ReadySet ready;

namespace {

ScheduleChoice choice{Schedule::random, 0};

}  // namespace

void set_schedule(ScheduleChoice new_choice) { choice = new_choice; }

ScheduleChoice current_schedule() { return choice; }

ScheduleChoice take_choice() {
    const ScheduleChoice taken = choice;
    ++choice.seed;
    return taken;
}

const char* schedule_name(Schedule schedule) {
    switch (schedule) {
        case Schedule::random:
            return "random";
        case Schedule::ascending:
            return "ascending";
        case Schedule::descending:
            return "descending";
    }
    return "";
}

// As the Schedule of schedules.py that is written so.
std::string describe_schedule() {
    const ScheduleChoice& chosen = launch.schedule;
    const bool is_whole = chosen.skipped == 0 && chosen.count == all_decisions;
    std::string text = std::string("schedule ") + schedule_name(chosen.schedule);
    if (chosen.schedule == Schedule::random || !is_whole) {
        text += ":" + std::to_string(chosen.seed);
    }
    if (!is_whole) {
        text += ":" + std::to_string(chosen.skipped) + "-";
        text += chosen.count == all_decisions ? "" : std::to_string(chosen.skipped + chosen.count - 1);
    }
    return text;
}

Schedule next_decision() {
    if (choice.skipped > 0) {
        --choice.skipped;
        return Schedule::ascending;
    }
    if (choice.count == 0) {
        return Schedule::ascending;
    }
    choice.count -= choice.count != all_decisions;
    return launch.schedule.schedule;
}

}  // namespace emulate
