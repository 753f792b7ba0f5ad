#include "interruption.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>

#include <cerrno>
#include <utility>

#include "block.h"
#include "errors.h"
#include "symbols.h"
#include "watcher.h"

#if __has_include(<execinfo.h>)
#include <execinfo.h>
#else
inline int backtrace(void**, int) { return 0; }  // of what calls the interrupted code nothing is known
#endif

namespace emulate {

volatile sig_atomic_t in_kernel = 0;

namespace {

bool (*may_go_on)() = nullptr;
bool asking = false;
volatile sig_atomic_t knocked = 0;
bool visiting = false;  // whether the host was switched to, for its answer or for the end of the block
std::exception_ptr verdict;  // with which the block ends at once
constexpr int most_calls = 24;
void* calls[most_calls];  // in which the last knock found the kernel, the innermost first
int call_count = 0, innermost_call = 0;
volatile sig_atomic_t has_fault = 0;
Fault fault;

void visit_host() {
    knocked = 0;
    visiting = true;
    Fiber* self = running;
    running = host;
    switch_fiber(self, host);
}

// A knock waits until the one before is answered: many at once would fill the stack. Where that answer
// never returns, as its fiber is abandoned, the next one is let in by this.
void allow_knocks() {
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, knock);
    pthread_sigmask(SIG_UNBLOCK, &one, nullptr);
}

bool go_on() {
    struct Asking {
        Asking() { asking = true; }
        ~Asking() { asking = false; }  // whatever it throws
    } const asked;
    knocked = 0;
    return may_go_on();
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

}  // namespace

void forget_knocks() {
    in_kernel = knocked = 0;
    call_count = innermost_call = 0;
}

void answer_knock(int, siginfo_t*, void* context) {
    if (!is_launching_thread()) {
        return;  // whoever sent it did not mean a kernel
    }
    const int error = errno;
    knocked = 1;
    if (in_kernel) {
        in_kernel = 0;
        call_count = backtrace(calls, most_calls);  // this handler's own first
        void* const code = const_cast<void*>(interrupted_code(context));
        innermost_call = int(std::find(calls, calls + call_count, code) - calls);
        if (innermost_call == call_count && code != nullptr) {
            calls[innermost_call = 0] = code;
            call_count = 1;
        }
        visit_host();
        in_kernel = 1;
    }
    errno = error;
}

// The processor could not do what the kernel wants.
void answer_fault(const Fault& found) {
    if (in_kernel && is_launching_thread()) {
        in_kernel = 0;
        fault = found;
        has_fault = 1;
        visit_host();  // for good
    }
}

void answer_late_knock() {
    if (knocked && !go_on()) {
        throw Interrupted();
    }
}

bool was_visited() { return std::exchange(visiting, false); }

std::exception_ptr end_of_visit() {
    if (has_fault) {
        has_fault = 0;
        return error_of_fault();
    }
    if (verdict) {
        return std::exchange(verdict, nullptr);
    }
    if (go_on()) {
        return nullptr;
    }
    allow_knocks();
    return std::make_exception_ptr(Interrupted());
}

void return_to_kernel() {
    if (knocked) {
        visit_host();
    }
    in_kernel = 1;
}

bool is_interrupted() { return asking; }

void end_block_with(std::exception_ptr error) {
    leave_kernel();
    verdict = error;
    visit_host();
    std::terminate();  // nobody switches back
}

void ask_whether_to_go_on(bool (*question)()) { may_go_on = question; }

bool somebody_is_asked() { return may_go_on != nullptr; }

std::string describe_progress() {
    std::string text =
        description_of_launch() + ": block " + place(blockIdx) + ", " + thread_name(current);
    for (int i = innermost_call; i < call_count; ++i) {
        const std::string place = place_in_source(static_cast<char*>(calls[i]) - (i > innermost_call));
        if (place.find("+0x") == std::string::npos) {  // not the emulator's own code
            return text + " at " + place;
        }
    }
    return text;
}

}  // namespace emulate
