// What a file of kernels that is compiled by itself offers to the extension that loads it. Its last
// include: `tapegrad_launchers` is the list that the file has made, and on the emulated device
// `tapegrad_home` leads to the emulator that was linked to it.
#pragma once

#include "launch.h"

extern "C" __attribute__((visibility("default"))) const Launcher* tapegrad_launchers(size_t* count) {
    *count = launchers().size();
    return launchers().data();
}

#ifndef __CUDACC__

#include "emulate/home.h"

extern "C" __attribute__((visibility("default"))) Home* tapegrad_home() {
    static Home home{emulate::set_schedule, emulate::current_schedule,
                     emulate::ask_whether_to_go_on, emulate::work_done,
                     emulate::progress, emulate::describe_progress, EMULATE_SET_ARRAYS, EMULATE_BANKS, {}};
    return &home;
}

#endif
