// The emulator's scheduler. One block at a time: its threads wait in a ready set until their turn,
// run on a fiber until they block or end, and hand over directly to the next thread. A thread that
// ends without having blocked leaves its fiber to the next fresh thread, so a kernel that never
// synchronises runs as a loop on a single fiber.
#include "runtime.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <exception>
#include <mutex>
#include <new>
#include <numeric>
#include <utility>
#include <vector>

#include "faults.h"
#include "fiber.h"
#include "scheduler.h"
#include "symbols.h"

uint3 threadIdx;
uint3 blockIdx;
dim3 blockDim;
dim3 gridDim;

namespace emulate {

uint64_t block_serial = 0;

namespace {

constexpr int max_threads = int(max_threads_per_block);
constexpr int max_warps = max_threads / warpSize;

// ---- randomness ----

struct Random {
    uint64_t state;

    uint64_t next() {  // splitmix64
        state += 0x9E3779B97F4A7C15u;
        uint64_t z = state;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
        return z ^ (z >> 31);
    }
};

// ---- the launch ----

ScheduleChoice choice{Schedule::random, 0};
Work work{0, 0, 0};
Progress current_progress{0, 0, 0};
bool barriers_wait_for_exited = true;

struct Launch {
    const char* kernel;
    Extent grid{1}, block{1};
    size_t shared_bytes;
    void (*body)(void*);
    void* context;
    bool is_cooperative;
    ScheduleChoice schedule;
    Random random;
};

Launch launch;
std::mutex one_launch_at_a_time;

// ---- the block ----

enum class State : uint8_t { ready, at_barrier, at_warp, gathering, at_grid, exited };

struct ThreadRecord {
    State state;
    Fiber* fiber;  // null until it starts and after it ended
    Site site;     // where it waits
    uint64_t answer;
};

uint3 coordinates[max_threads];
ThreadRecord threads[max_threads];
int thread_total;
int current;  // the thread that runs

Fiber* host = nullptr;
Fiber* running = nullptr;
std::exception_ptr failure;

// Thrown into every suspended thread after a failure, so that its stack unwinds.
struct Cancelled {};

// ---- interruption ----

// A kernel may run for long, or for ever. A thread of the emulator's looks twenty times a second
// whether it sees the same launch again, and then sends a signal to the thread that runs it. Where
// that is in the kernel's own code, the signal switches to the host's stack at once; in the
// emulator's code, when that goes back to the kernel. The host asks whether to go on. If not, the
// fiber is abandoned where it is, and the others unwind.
bool (*may_go_on)() = nullptr;
bool asking = false;
volatile sig_atomic_t knocked = 0;
bool visiting = false;  // whether the host was switched to, for its answer or for the end of the block
std::exception_ptr verdict;  // with which the block ends at once
const void* knocked_at = nullptr;  // in the kernel's code
volatile sig_atomic_t has_fault = 0;
Fault fault;

std::mutex watched;  // guards what is below
pthread_t runner;
uint64_t launches = 0;
uint64_t running_launch = 0;  // 0: none
bool has_watcher = false;

void visit_host() {
    knocked = 0;
    visiting = true;
    Fiber* self = running;
    running = host;
    switch_fiber(self, host);
}

void answer_knock(int, siginfo_t*, void* context) {
    if (!pthread_equal(pthread_self(), runner)) {
        return;  // whoever sent it did not mean a kernel
    }
    const int error = errno;
    knocked = 1;
    if (in_kernel) {
        in_kernel = 0;
        knocked_at = interrupted_code(context);
        visit_host();
        in_kernel = 1;
    }
    errno = error;
}

// A knock waits until the one before is answered: many at once would fill the stack. Where that answer
// never returns, as its fiber is abandoned, the next one is let in by this.
void allow_knocks() {
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, knock);
    pthread_sigmask(SIG_UNBLOCK, &one, nullptr);
}

// The processor could not do what the kernel wants.
void answer_fault(const Fault& found) {
    if (in_kernel && pthread_equal(pthread_self(), runner)) {
        in_kernel = 0;
        fault = found;
        has_fault = 1;
        visit_host();  // for good
    }
}

bool go_on() {
    knocked = 0;
    asking = true;
    const bool answer = may_go_on();
    asking = false;
    return answer;
}

}  // namespace

bool answers_knocks() {
    struct sigaction now;
    return sigaction(knock, nullptr, &now) == 0 && now.sa_sigaction == answer_knock;
}

namespace {

void* watch(void*) {
    uint64_t seen = 0;
    for (;;) {
        const timespec pause{0, 50000000};
        nanosleep(&pause, nullptr);
        std::lock_guard<std::mutex> lock(watched);
        if (running_launch != 0 && running_launch == seen && answers_knocks()) {
            pthread_kill(runner, knock);
        }
        seen = running_launch;
    }
    return nullptr;
}

// In a child process there is no watcher, whose lock may have been taken.
void forget_watcher() {
    new (&watched) std::mutex;
    has_watcher = false;
}

void start_watcher() {
    has_watcher = true;  // tried once: without one, kernels run to their end
    struct sigaction now;
    if (sigaction(knock, nullptr, &now) != 0 ||
        (now.sa_handler != SIG_DFL && now.sa_handler != SIG_IGN && now.sa_sigaction != answer_knock)) {
        return;
    }
    struct sigaction answer {};
    answer.sa_sigaction = answer_knock;
    answer.sa_flags = SA_SIGINFO | SA_RESTART;
    sigemptyset(&answer.sa_mask);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);  // the watcher gets no signals
    pthread_t watcher;
    if (sigaction(knock, &answer, nullptr) == 0 && pthread_create(&watcher, nullptr, watch, nullptr) == 0) {
        pthread_detach(watcher);
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    static const int registered = pthread_atfork(nullptr, nullptr, forget_watcher);
    (void)registered;
}

// While it lives, a launch is watched.
class Watched {
  public:
    Watched() {
        in_kernel = knocked = 0;
        knocked_at = nullptr;
        if (may_go_on != nullptr && !has_watcher) {
            start_watcher();
        }
        std::lock_guard<std::mutex> lock(watched);
        runner = pthread_self();
        running_launch = ++launches;
        current_progress = {launches, 0, 0};
    }
    ~Watched() {
        std::lock_guard<std::mutex> lock(watched);
        running_launch = current_progress.launch = 0;
    }
};

std::string place(const uint3& v) {
    return "(" + std::to_string(v.x) + ", " + std::to_string(v.y) + ", " + std::to_string(v.z) + ")";
}

std::string thread_name(int thread) { return "thread " + place(coordinates[thread]); }

std::string place(const Site& site) {
    return std::string(site.file) + ":" + std::to_string(site.line);
}

// Whether two threads wait in different places: known exactly in the checked build, whose compiler makes
// no copies of a barrier; else by the line.
bool is_elsewhere(const Site& a, const Site& b) {
    return a.code != b.code || a.line != b.line || std::strcmp(a.file, b.file) != 0;
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

// How the next decision is taken.
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

KernelError error_in_block(const std::string& who, const std::string& message) {
    return KernelError(description_of_launch() + ": block " + place(blockIdx) + who + ": " + message +
                       " (" + describe_schedule() + ")");
}

[[noreturn]] void fail_in_block(const std::string& who, const std::string& message) {
    throw error_in_block(who, message);
}

[[noreturn]] void fail_at(int thread, const std::string& message) {
    fail_in_block(", " + thread_name(thread), message);
}

// ---- ready threads ----

// One bit per thread. Under the random schedule any order of turns is possible, but not all are equally
// likely: seven times in eight the next thread is of the warp that just ran. So some warps run far
// ahead of others, which is when a missing barrier shows; and the stacks of one warp stay in the
// cache, which makes kernels with many shuffles several times faster. A thread after a gap of waiting
// ones is drawn more often, which is no harm in a search for bad orders.
class ReadySet {
  public:
    void fill(int count) {
        for (int word = 0; word < words_; ++word) {
            const int left = count - word * 64;
            bits_[word] = left >= 64 ? ~uint64_t(0) : left > 0 ? (uint64_t(1) << left) - 1 : 0;
        }
    }

    void insert(int thread) { bits_[thread / 64] |= uint64_t(1) << (thread % 64); }

    // The thread whose turn it is, or -1.
    int take() {
        int thread = -1;
        // Drawn for every decision, so that leaving some out does not change the others.
        const uint64_t random = launch.schedule.schedule == Schedule::random ? launch.random.next() : 0;
        switch (next_decision()) {
            case Schedule::ascending:
                thread = first_from(0);
                break;
            case Schedule::descending:
                thread = last();
                break;
            case Schedule::random:
                thread = draw(random);
                break;
        }
        if (thread >= 0) {
            bits_[thread / 64] &= ~(uint64_t(1) << (thread % 64));
        }
        return thread;
    }

    // The next thread in order, beginning again at the first: everybody has a turn.
    int take_after(int thread) {
        const int next = thread + 1 < max_threads ? first_from(thread + 1) : -1;
        const int taken = next < 0 ? first_from(0) : next;
        if (taken >= 0) {
            bits_[taken / 64] &= ~(uint64_t(1) << (taken % 64));
        }
        return taken;
    }

  private:
    int draw(uint64_t random) const {
        const int warp = current / warpSize;
        const uint32_t lanes = uint32_t(bits_[warp / 2] >> (warp % 2 * warpSize));
        if (lanes != 0 && random % 8 != 0) {
            const int start = int((random >> 8) % warpSize);
            const uint32_t later = lanes & (~0u << start);
            return warp * warpSize + __builtin_ctz(later != 0 ? later : lanes);
        }
        const int thread = first_from(int(((random >> 32) * uint32_t(thread_total)) >> 32));
        return thread < 0 ? first_from(0) : thread;
    }

    int first_from(int start) const {
        int word = start / 64;
        uint64_t bits = bits_[word] & (~uint64_t(0) << (start % 64));
        while (bits == 0) {
            if (++word == words_) {
                return -1;
            }
            bits = bits_[word];
        }
        return word * 64 + __builtin_ctzll(bits);
    }

    int last() const {
        for (int word = words_ - 1; word >= 0; --word) {
            if (bits_[word] != 0) {
                return word * 64 + 63 - __builtin_clzll(bits_[word]);
            }
        }
        return -1;
    }

    static constexpr int words_ = max_threads / 64;
    uint64_t bits_[words_];
};

ReadySet ready;

// ---- switching ----

std::string describe_deadlock() {
    for (int thread = 0; thread < thread_total; ++thread) {
        if (threads[thread].state == State::at_warp) {
            return "deadlock: " + thread_name(thread) + " waits at " + place(threads[thread].site) +
                   " for lanes of its warp that never come";
        }
    }
    return "deadlock";
}

void become(int thread) {
    current = thread;
    threadIdx = coordinates[thread];
    check::run_thread(thread, stack_of(threads[thread].fiber));
}

void run_threads_forever();

void switch_to(int thread) {
    Fiber* from = running;
    if (threads[thread].fiber == nullptr) {
        threads[thread].fiber = take_fiber(run_threads_forever);
    }
    become(thread);
    running = threads[thread].fiber;
    switch_fiber(from, running);
}

// Called by a thread that waits, or that let the others go on: returns when its turn has come.
void wait_for_turn() {
    const int self = current;
    const int next = ready.take();
    if (next < 0) {
        fail(describe_deadlock());
    }
    if (next != self) {
        switch_to(next);
        if (failure) {
            throw Cancelled();
        }
    }
}

int find_suspended_thread() {
    for (int thread = 0; thread < thread_total; ++thread) {
        if (threads[thread].fiber != nullptr) {
            return thread;
        }
    }
    return -1;
}

// ---- barrier ----

struct Barrier {
    int waiting = 0;
    int exited = 0;
    int first = 0;  // the thread that came first
    Site site{};
    BarrierKind kind{};
    int votes = 0;
    int result = 0;
};

Barrier barrier;

void end_barrier_if_complete() {
    if (barrier.waiting + barrier.exited != thread_total) {
        return;
    }
    ++current_progress.met;
    barrier.result = barrier.kind == BarrierKind::all   ? barrier.votes == barrier.waiting
                     : barrier.kind == BarrierKind::any ? barrier.votes > 0
                                                        : barrier.votes;
    barrier.waiting = 0;
    for (int thread = 0; thread < thread_total; ++thread) {
        if (threads[thread].state == State::at_barrier) {
            threads[thread].state = State::ready;
            ready.insert(thread);
        }
    }
    check::meet_at_barrier();
}

// ---- warps ----

// Lanes that have met so far for one operation with one mask.
struct Group {
    WarpOperation operation;
    unsigned mask;
    unsigned arrived;
    int width;
};

struct Warp {
    unsigned present;  // lanes that exist and have not exited
    int gathering;     // lanes that ask who is at the same place
    int group_count;
    Group groups[warpSize];
    WarpRequest requests[warpSize];
};

Warp warps[max_warps];

// Answers those who ask which lanes are at their place, when no lane of the warp can go on without: of
// several places at the first in the code, as lanes that are behind catch up with the others.
void answer_gathering(int warp_index) {
    Warp& warp = warps[warp_index];
    ThreadRecord* const lanes = threads + warp_index * warpSize;
    const int count = std::min(warpSize, thread_total - warp_index * warpSize);
    CodeAddress first = nullptr;
    for (int i = 0; i < count && warp.gathering > 0; ++i) {
        if (lanes[i].state == State::ready) {
            return;
        }
        if (lanes[i].state == State::gathering && (first == nullptr || lanes[i].site.code < first)) {
            first = lanes[i].site.code;
        }
    }
    const auto is_there = [&](const ThreadRecord& lane) {
        return lane.state == State::gathering && lane.site.code == first;
    };
    unsigned together = 0;
    for (int i = 0; i < count && first != nullptr; ++i) {
        together |= unsigned(is_there(lanes[i])) << i;
    }
    for (unsigned left = together; left != 0; left &= left - 1) {
        const int lane = __builtin_ctz(left);
        lanes[lane].answer = together;
        lanes[lane].state = State::ready;
        ready.insert(warp_index * warpSize + lane);
        --warp.gathering;
    }
}

std::string hexadecimal(unsigned mask) {
    char text[16];
    std::snprintf(text, sizeof text, "0x%08x", mask);
    return text;
}

// The lane that `lane` reads from; its own where a shuffle runs off its segment.
int source_lane(const WarpRequest& request, int lane) {
    const int segment = lane & ~(request.width - 1);
    int source = lane;
    switch (request.operation) {
        case WarpOperation::shuffle:
            return segment + (request.lane & (request.width - 1));
        case WarpOperation::shuffle_up:
            source = lane - request.lane;
            return source < segment ? lane : source;
        case WarpOperation::shuffle_down:
            source = lane + request.lane;
            return source >= segment + request.width ? lane : source;
        case WarpOperation::shuffle_xor:
            source = lane ^ request.lane;
            return source >= segment + request.width ? lane : source;
        case WarpOperation::sync:
        case WarpOperation::ballot:
            break;
    }
    return lane;
}

void answer_group(int warp_index, const Group& group) {
    ++current_progress.met;
    Warp& warp = warps[warp_index];
    const int base = warp_index * warpSize;
    uint64_t ballot = 0;
    for (int lane = 0; lane < warpSize; ++lane) {
        if ((group.arrived >> lane) & 1u) {
            ballot |= (warp.requests[lane].value & 1u) << lane;
        }
    }
    for (int lane = 0; lane < warpSize; ++lane) {
        if (!((group.arrived >> lane) & 1u)) {
            continue;
        }
        ThreadRecord& thread = threads[base + lane];
        if (group.operation == WarpOperation::ballot) {
            thread.answer = ballot;
        } else if (group.operation != WarpOperation::sync) {
            const int source = source_lane(warp.requests[lane], lane);
            if (source < 0 || source >= warpSize || !((group.arrived >> source) & 1u)) {
                fail_at(base + lane, "the shuffle at " + place(thread.site) + " reads lane " +
                                         std::to_string(source) +
                                         ", which has exited or takes no part in it");
            }
            thread.answer = warp.requests[source].value;
        }
        thread.state = State::ready;
        ready.insert(base + lane);
    }
    const int existing = thread_total - base;
    check::meet_in_warp(warp_index, group.arrived,
                        group.arrived == (existing >= warpSize ? ~0u : (1u << existing) - 1u));
}

// Lets a group go on if it waits for nobody any more, and says whether it did.
bool answer_if_complete(int warp_index, int group_index) {
    Warp& warp = warps[warp_index];
    const Group group = warp.groups[group_index];
    if ((group.mask & warp.present) != group.arrived) {
        return false;
    }
    warp.groups[group_index] = warp.groups[--warp.group_count];
    answer_group(warp_index, group);
    return true;
}

// ---- a thread's life ----

void exit_thread() {
    const int warp_index = current / warpSize;
    threads[current].state = State::exited;
    check::exit_thread();
    ++barrier.exited;
    ++current_progress.ended;
    if (barrier.waiting > 0) {
        if (barriers_wait_for_exited) {
            fail("exits while " + thread_name(barrier.first) + " waits at the barrier " +
                 place(barrier.site));
        }
        end_barrier_if_complete();
    }
    Warp& warp = warps[warp_index];
    warp.present &= ~(1u << (current % warpSize));
    for (int i = 0; i < warp.group_count;) {
        i += answer_if_complete(warp_index, i) ? 0 : 1;  // a group that goes is replaced by the last
    }
    answer_gathering(warp_index);
}

// ---- the grid ----

int waiting_for_grid = 0;  // threads of the block
bool is_suspended = false;  // the block: all its threads wait for the grid

bool suspends_block() {
    is_suspended = waiting_for_grid > 0 && waiting_for_grid + barrier.exited == thread_total;
    return is_suspended;
}

// What every fiber runs: the current thread, then any fresh thread whose turn comes, then, from the
// pool, the threads of later blocks.
void run_threads_forever() {
    for (;;) {
        try {
            return_to_kernel();
            launch.body(launch.context);
            leave_kernel();
            exit_thread();
        } catch (const Cancelled&) {
            leave_kernel();
        } catch (...) {
            leave_kernel();
            if (!failure) {
                failure = std::current_exception();
            }
        }
        threads[current].state = State::exited;
        threads[current].fiber = nullptr;
        int next = failure ? -1 : ready.take();
        if (next >= 0 && threads[next].fiber == nullptr) {
            threads[next].fiber = running;
            become(next);
            continue;
        }
        if (next < 0 && (failure || !suspends_block())) {
            next = find_suspended_thread();
            if (next >= 0 && !failure) {
                try {
                    fail(describe_deadlock());
                } catch (...) {
                    failure = std::current_exception();
                }
            }
        }
        Fiber* self = running;
        give_fiber_back(self);
        if (next >= 0) {
            become(next);
            running = threads[next].fiber;
        } else {
            running = host;
        }
        switch_fiber(self, running);
    }
}

// ---- shared memory ----

constexpr size_t guard_bytes = 64;
constexpr unsigned char guard_value = 0xA5;
constexpr unsigned char poison_value = 0xFF;  // NaN in every floating point format

struct PlacedArray {
    const char* name;
    unsigned char* end;   // where its guard begins
    SharedArray* array;   // null: the dynamic shared memory
};

// Guards and alignment take room of their own; only the arrays count against the limit.
alignas(128) unsigned char static_arena[2 * max_static_shared_bytes];
alignas(128) unsigned char dynamic_arena[max_shared_bytes + guard_bytes];
size_t static_arena_used;
size_t static_bytes_used;
std::vector<PlacedArray> placed_arrays;

void place_guard(const char* name, unsigned char* end, SharedArray* array) {
    std::memset(end, guard_value, guard_bytes);
    placed_arrays.push_back({name, end, array});
}

void prepare_shared_memory() {
    ++block_serial;
    static_arena_used = 0;
    static_bytes_used = 0;
    placed_arrays.clear();
    if (launch.shared_bytes > 0) {
        std::memset(dynamic_arena, poison_value, launch.shared_bytes);
        place_guard("dynamic shared memory", dynamic_arena + launch.shared_bytes, nullptr);
    }
}

void check_guards() {
    for (const PlacedArray& array : placed_arrays) {
        for (size_t i = 0; i < guard_bytes; ++i) {
            if (array.end[i] != guard_value) {
                fail_in_block("", "wrote " + std::to_string(i + 1) + " bytes or more past the end of " +
                                      array.name);
            }
        }
    }
}

// ---- blocks ----

// Ends the block in an exception: the thread that runs where it is, the others by unwinding.
void abandon_block(std::exception_ptr why) {
    failure = why;
    ThreadRecord& thread = threads[current];
    restart_fiber(thread.fiber);
    give_fiber_back(thread.fiber);
    thread.fiber = nullptr;
    thread.state = State::exited;
    const int next = find_suspended_thread();
    if (next >= 0) {
        switch_to(next);
    }
}

std::exception_ptr error_of_fault() {
    const auto words = [] {
        switch (fault.kind) {
            case Fault::Kind::reads:
                return "reads memory that is not there";
            case Fault::Kind::writes:
                return "writes memory that is not there";
            case Fault::Kind::divides:
                return "divides an integer by zero, or the lowest one by -1";
            case Fault::Kind::executes:
                return "executes an illegal instruction";
            case Fault::Kind::accesses:
                break;
        }
        return "accesses memory that is not there";
    };
    std::string text =
        description_of_launch() + ": block " + place(blockIdx) + ", " + thread_name(current) + ": ";
    const char* stack = stack_of(threads[current].fiber);
    const char* address = static_cast<const char*>(fault.address);
    if (address < stack && stack - address <= sysconf(_SC_PAGESIZE)) {
        fault.address = nullptr;
        text += "its stack of " + std::to_string(stack_bytes / 1024) + " KB is full";
    } else {
        text += words();
    }
    if (fault.code != nullptr) {
        text += " at " + place_in_source(fault.code);
    }
    const bool is_access = fault.kind != Fault::Kind::divides && fault.kind != Fault::Kind::executes;
    return is_access ? std::make_exception_ptr(AccessError(text, fault.address))
                     : std::make_exception_ptr(KernelError(text));
}

void begin_block() {
    for (int thread = 0; thread < thread_total; ++thread) {
        threads[thread].state = State::ready;
        threads[thread].fiber = nullptr;
    }
    ready.fill(thread_total);
    barrier = Barrier();
    for (int warp = 0; warp * warpSize < thread_total; ++warp) {
        const int lanes = thread_total - warp * warpSize;
        warps[warp].present = lanes >= warpSize ? ~0u : (1u << lanes) - 1u;
        warps[warp].group_count = 0;
        warps[warp].gathering = 0;
    }
    waiting_for_grid = 0;
    prepare_shared_memory();
    check::begin_block(blockIdx, {static_arena, sizeof static_arena, dynamic_arena, sizeof dynamic_arena,
                                  launch.shared_bytes});
}

// Until its threads have ended, or all wait for the grid.
void run_block() {
    is_suspended = false;
    running = host;
    switch_to(ready.take());
    while (visiting) {
        visiting = false;
        Fiber* fiber = threads[current].fiber;
        if (has_fault) {
            has_fault = 0;
            abandon_block(error_of_fault());
        } else if (verdict) {
            abandon_block(std::exchange(verdict, nullptr));
        } else if (go_on()) {
            running = fiber;
            switch_fiber(host, fiber);
        } else {
            allow_knocks();
            abandon_block(std::make_exception_ptr(Interrupted()));
        }
    }
    if (failure) {
        std::exception_ptr error;
        std::swap(error, failure);
        std::rethrow_exception(error);
    }
    check::end_block();
    check_guards();
}

void prepare_threads() {
    const Extent& block = launch.block;
    thread_total = int(block.x * block.y * block.z);
    current = 0;  // the random schedule looks at it: a launch must not depend on the one before
    int thread = 0;
    for (unsigned z = 0; z < block.z; ++z) {
        for (unsigned y = 0; y < block.y; ++y) {
            for (unsigned x = 0; x < block.x; ++x) {
                coordinates[thread++] = {x, y, z};
            }
        }
    }
    blockDim = dim3(unsigned(block.x), unsigned(block.y), unsigned(block.z));
    gridDim = dim3(unsigned(launch.grid.x), unsigned(launch.grid.y), unsigned(launch.grid.z));
}

// Blocks run in the order start, start + stride, ... modulo their number; a stride that shares no
// factor with it visits every block once, in an order that looks random and needs no list.
void run_grid() {
    const uint64_t total = uint64_t(launch.grid.x) * uint64_t(launch.grid.y) * uint64_t(launch.grid.z);
    uint64_t position = 0;
    uint64_t stride = 1;
    if (launch.schedule.schedule == Schedule::descending) {
        position = total - 1;
        stride = total - 1;
    } else if (launch.schedule.schedule == Schedule::random) {
        position = launch.random.next() % total;
        do {
            stride = launch.random.next() % total;
        } while (std::gcd(stride, total) != 1);
    }
    if (next_decision() == Schedule::ascending) {
        position = 0;
        stride = 1;
    }
    for (uint64_t i = 0; i < total; ++i) {
        if (knocked && !go_on()) {
            throw Interrupted();
        }
        const uint64_t row = position / uint64_t(launch.grid.x);
        blockIdx.x = unsigned(position % uint64_t(launch.grid.x));
        blockIdx.y = unsigned(row % uint64_t(launch.grid.y));
        blockIdx.z = unsigned(row / uint64_t(launch.grid.y));
        begin_block();
        run_block();
        position = (position + stride) % total;
    }
}

// ---- cooperative grids ----

// A block that waits for the grid, while others run in its place.
struct SuspendedBlock {
    uint3 index;
    uint64_t serial;
    std::vector<ThreadRecord> threads;
    std::vector<Warp> warps;
    Barrier barrier;
    std::vector<PlacedArray> placed_arrays;
    size_t static_arena_used, static_bytes_used;
    std::vector<unsigned char> fixed, sized;  // its shared memory
};

SuspendedBlock suspend_block() {
    const int warp_total = (thread_total + warpSize - 1) / warpSize;
    return {blockIdx,
            block_serial,
            {threads, threads + thread_total},
            {warps, warps + warp_total},
            barrier,
            placed_arrays,
            static_arena_used,
            static_bytes_used,
            {static_arena, static_arena + static_arena_used},
            {dynamic_arena, dynamic_arena + launch.shared_bytes + guard_bytes}};
}

void resume_block(const SuspendedBlock& block) {
    blockIdx = block.index;
    block_serial = block.serial;
    std::copy(block.threads.begin(), block.threads.end(), threads);
    std::copy(block.warps.begin(), block.warps.end(), warps);
    barrier = block.barrier;
    placed_arrays = block.placed_arrays;
    static_arena_used = block.static_arena_used;
    static_bytes_used = block.static_bytes_used;
    std::copy(block.fixed.begin(), block.fixed.end(), static_arena);
    std::copy(block.sized.begin(), block.sized.end(), dynamic_arena);
    check::resume_block(blockIdx, {static_arena, sizeof static_arena, dynamic_arena, sizeof dynamic_arena,
                                   launch.shared_bytes});
    for (const PlacedArray& placed : placed_arrays) {
        if (placed.array != nullptr) {
            placed.array->block_serial = block_serial;
            auto* begin = static_cast<unsigned char*>(placed.array->address);
            check::place_shared_array(placed.name, begin, size_t(placed.end - begin));
        }
    }
    ready.fill(0);
    for (int thread = 0; thread < thread_total; ++thread) {
        if (threads[thread].state == State::at_grid) {
            threads[thread].state = State::ready;
            ready.insert(thread);
        }
    }
    waiting_for_grid = 0;
}

// The others of a grid in which one block failed: their stacks unwind.
void cancel_blocks(const std::vector<SuspendedBlock>& blocks) {
    for (const SuspendedBlock& block : blocks) {
        resume_block(block);
        failure = std::make_exception_ptr(Cancelled());
        running = host;
        switch_to(find_suspended_thread());
        failure = nullptr;
    }
}

void run_cooperative_grid() {
    std::vector<SuspendedBlock> waiting, next;
    const auto run = [&] {
        run_block();
        if (is_suspended) {
            next.push_back(suspend_block());
        }
    };
    try {
        for (unsigned z = 0; z < gridDim.z; ++z) {
            for (unsigned y = 0; y < gridDim.y; ++y) {
                for (unsigned x = 0; x < gridDim.x; ++x) {
                    blockIdx = {x, y, z};
                    begin_block();
                    run();
                }
            }
        }
        for (size_t blocks = size_t(gridDim.x) * gridDim.y * gridDim.z; !next.empty();) {
            if (next.size() < blocks) {
                fail_in_block("", "has ended, but others wait for the whole grid");
            }
            waiting.swap(next);
            check::meet_in_grid();
            while (!waiting.empty()) {
                const SuspendedBlock block = std::move(waiting.front());
                waiting.erase(waiting.begin());
                resume_block(block);
                run();
            }
        }
    } catch (...) {
        cancel_blocks(waiting);
        cancel_blocks(next);
        throw;
    }
}

}  // namespace

// ---- what the checks ask ----

volatile sig_atomic_t in_kernel = 0;

void return_to_kernel() {
    if (knocked) {
        visit_host();
    }
    in_kernel = 1;
}

bool is_interrupted() { return asking; }

std::string name_of_thread(int thread) { return thread_name(thread); }

std::string description_of_launch() {
    return describe_launch(launch.kernel, launch.grid, launch.block, launch.shared_bytes);
}

void end_block_with(std::exception_ptr error) {
    leave_kernel();
    verdict = error;
    visit_host();
    std::terminate();  // nobody switches back
}

bool let_others_run() {
    const int next = ready.take_after(current);
    if (next < 0) {
        return false;
    }
    ready.insert(current);
    switch_to(next);
    if (failure) {
        end_block_with(failure);
    }
    return true;
}

// ---- what kernels and hosts call ----

void ask_whether_to_go_on(bool (*question)()) { may_go_on = question; }

void set_schedule(ScheduleChoice new_choice) { choice = new_choice; }

ScheduleChoice current_schedule() { return choice; }

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

void run_kernel(const char* kernel, const Extent& grid, const Extent& block, size_t shared_bytes,
                void (*body)(void*), void* context, bool is_cooperative) {
    check_launch(kernel, grid, block, shared_bytes);
    if (asking) {
        throw KernelError(describe_launch(kernel, grid, block, shared_bytes) +
                          ": launched while a signal handler interrupts another kernel");
    }
    std::lock_guard<std::mutex> lock(one_launch_at_a_time);
    const Watched watching;
    const FaultsAnswered faults(answer_fault);
    if (host == nullptr) {
        host = adopt_current_stack();
    }
    launch.kernel = kernel;
    launch.grid = grid;
    launch.block = block;
    launch.shared_bytes = shared_bytes;
    launch.body = body;
    launch.context = context;
    launch.is_cooperative = is_cooperative;
    launch.schedule = choice;
    launch.random.state = choice.seed;
    ++choice.seed;
    ++work.launches;
    work.threads += uint64_t(grid.x * grid.y * grid.z) * uint64_t(block.x * block.y * block.z);
    prepare_threads();
    check::begin_launch(__builtin_frame_address(0), thread_total);
    is_cooperative ? run_cooperative_grid() : run_grid();
    ++work.completed;
    check::end_launch();
}

Work work_done() { return work; }

Progress progress() { return current_progress; }

std::string describe_progress() {
    std::string text =
        description_of_launch() + ": block " + place(blockIdx) + ", " + thread_name(current);
    return knocked_at == nullptr ? text : text + " at " + place_in_source(knocked_at);
}

void set_barriers_wait_for_exited(bool wait) { barriers_wait_for_exited = wait; }

void fail(const std::string& message) {
    leave_kernel();
    fail_at(current, message);
}

void stop(const std::string& message) {
    leave_kernel();
    end_block_with(std::make_exception_ptr(error_in_block(", " + thread_name(current), message)));
}

void fail_misaligned(const void* address) {
    fail("128-bit access to an address that is not a multiple of 16 (it ends in " +
         hexadecimal(unsigned(reinterpret_cast<uintptr_t>(address) & 0xFFu)) + ")");
}

void place_shared_array(SharedArray& array, size_t bytes, size_t alignment) {
    leave_kernel();
    static_bytes_used = (static_bytes_used + alignment - 1) / alignment * alignment + bytes;
    if (static_bytes_used > max_static_shared_bytes) {
        fail("shared array " + std::string(array.name) + " brings the static shared memory to " +
             std::to_string(static_bytes_used) + " bytes; the limit is " +
             std::to_string(max_static_shared_bytes));
    }
    if (static_bytes_used + launch.shared_bytes > max_shared_bytes) {
        fail("static and dynamic shared memory together exceed " + std::to_string(max_shared_bytes) +
             " bytes");
    }
    constexpr size_t placement = 128;  // at least the alignment of anything a kernel may declare
    unsigned char* address = static_arena + static_arena_used;
    static_arena_used += (bytes + guard_bytes + placement - 1) / placement * placement;
    std::memset(address, poison_value, bytes);
    place_guard(array.name, address + bytes, &array);
    check::place_shared_array(array.name, address, bytes);
    array.address = address;
    array.block_serial = block_serial;
    return_to_kernel();
}

void* dynamic_shared_memory() { return dynamic_arena; }

int wait_at_barrier(BarrierKind kind, bool predicate, Site site) {
    leave_kernel();
#ifdef TAPEGRAD_CHECKED
    site.code = __builtin_return_address(0);
#endif
    if (barrier.exited > 0 && barriers_wait_for_exited) {
        fail("waits at the barrier " + place(site) + ", but other threads of the block have exited");
    }
    if (barrier.waiting == 0) {
        barrier.first = current;
        barrier.site = site;
        barrier.kind = kind;
        barrier.votes = 0;
    } else if (is_elsewhere(site, barrier.site)) {
        const std::string other = place(barrier.site);
        fail("waits at the barrier " + place(site) + " while " + thread_name(barrier.first) +
             " waits at " + other + (other == place(site) ? ", at another barrier of the line" : ""));
    } else if (kind != barrier.kind) {
        fail("and " + thread_name(barrier.first) + " wait at different kinds of barrier at " +
             place(site));
    }
    threads[current].state = State::at_barrier;
    threads[current].site = site;
    barrier.votes += predicate;
    ++barrier.waiting;
    end_barrier_if_complete();
    answer_gathering(current / warpSize);
    wait_for_turn();
    const int result = barrier.result;
    return_to_kernel();
    return result;
}

uint64_t meet_warp(const WarpRequest& request) {
    leave_kernel();
    const int warp_index = current / warpSize;
    const int lane = current % warpSize;
    const unsigned own_bit = 1u << lane;
    if (!(request.mask & own_bit)) {
        fail("calls the warp operation at " + place(request.site) + " with mask " +
             hexadecimal(request.mask) + ", which lacks its own lane " + std::to_string(lane));
    }
    if (request.width < 1 || request.width > warpSize || (request.width & (request.width - 1))) {
        fail("width " + std::to_string(request.width) + " of the shuffle at " + place(request.site) +
             " is not a power of two up to 32");
    }
    Warp& warp = warps[warp_index];
    int mine = warp.group_count;
    for (int i = 0; i < warp.group_count; ++i) {
        Group& group = warp.groups[i];
        if (group.mask == request.mask) {
            if (group.operation != request.operation || group.width != request.width) {
                fail("and lanes of its warp with the same mask " + hexadecimal(request.mask) +
                     " call different warp operations; it is at " + place(request.site));
            }
            mine = i;
        } else if ((group.mask & own_bit) && (group.arrived & request.mask)) {
            // Each waits for the other under a mask the other does not use: neither can go on.
            fail("masks disagree: it calls the warp operation at " + place(request.site) +
                 " with mask " + hexadecimal(request.mask) + ", lanes " +
                 hexadecimal(group.arrived) + " of its warp wait with mask " +
                 hexadecimal(group.mask));
        }
    }
    if (mine == warp.group_count) {
        warp.groups[warp.group_count++] = {request.operation, request.mask, 0, request.width};
    }
    warp.groups[mine].arrived |= own_bit;
    warp.requests[lane] = request;
    threads[current].state = State::at_warp;
    threads[current].site = request.site;
    answer_if_complete(warp_index, mine);
    answer_gathering(warp_index);
    wait_for_turn();
    const uint64_t answer = threads[current].answer;
    return_to_kernel();
    return answer;
}

unsigned active_lanes(Site site) {
    leave_kernel();
    site.code = __builtin_return_address(0);
    const int warp_index = current / warpSize;
    threads[current].state = State::gathering;
    threads[current].site = site;
    ++warps[warp_index].gathering;
    answer_gathering(warp_index);
    wait_for_turn();
    const unsigned answer = unsigned(threads[current].answer);
    return_to_kernel();
    return answer;
}

bool is_cooperative() { return launch.is_cooperative; }

void wait_for_grid() {
    leave_kernel();
    if (!launch.is_cooperative) {
        fail("waits for the grid in a launch that is not cooperative");
    }
    threads[current].state = State::at_grid;
    ++waiting_for_grid;
    answer_gathering(current / warpSize);
    const int next = ready.take();
    if (next >= 0) {
        switch_to(next);
    } else if (suspends_block()) {
        switch_fiber(std::exchange(running, host), host);
    } else {
        fail("waits for the grid while others of its block wait elsewhere");
    }
    if (failure) {
        throw Cancelled();
    }
    return_to_kernel();
}

}  // namespace emulate
