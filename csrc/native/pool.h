// Threads that share the work of a loop.
#pragma once

#include <cstdint>

// Calls work(context, i) once for every i below count, in any order and on several threads; returns
// when all calls have. The calls must not depend on each other. Never throws. Where the threads are
// at work already, for another thread of the program, the caller makes all calls itself.
void in_parallel(int64_t count, void (*work)(void* context, int64_t i), void* context);

// How many threads, the caller among them, share a loop from now on; at least 1.
void set_threads(int count);
int get_threads();
