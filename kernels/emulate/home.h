// The controls of one emulator, of which a process has several: each file of kernels that is compiled
// by itself brings its own.
#pragma once

#include <signal.h>

#include "runtime.h"

struct Home {
    void (*set_schedule)(emulate::ScheduleChoice);
    emulate::ScheduleChoice (*schedule)();
    void (*ask_whether_to_go_on)(bool (*question)());
    emulate::Work (*work_done)();
    struct sigaction knock;  // what answers its knocks; at first the system's default
};
