// A program's launches, their errors, and the file in which whoever runs the program finds what was seen:
// first how much ran, then a record for each report. It is written as things happen, so that it is true
// however the program ends.
#include "program.h"

#include <fcntl.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>
#include <string>

#include "../runtime.h"
#include "../scheduler.h"
#include "memory.h"
#include "running.h"

namespace emulate {
namespace cuda {

namespace {

struct Head {
    uint64_t launches, threads;
    char running[240];  // the kernel; empty: none
};

int journal = -1;
Head head{};
std::set<std::string> remarks;

void write_head() {
    if (journal >= 0 && pwrite(journal, &head, sizeof head, 0) < 0) {
        journal = -1;
    }
}

void write_record(char kind, const std::string& text) {
    const std::string record = kind + text + '\0';
    if (journal >= 0 && write(journal, record.data(), record.size()) < 0) {
        journal = -1;
    }
}

// ---- errors ----

cudaError_t last_error = cudaSuccess, device_error = cudaSuccess, launch_error = cudaSuccess;
std::string unread;  // why the last launch was refused, until somebody asks
int calls_in_vain = 0;
constexpr int most_calls_in_vain = 10000;

cudaError_t error_of(const KernelError& error) {
    const bool is_misaligned = std::strstr(error.what(), "misaligned") != nullptr;
    return dynamic_cast<const AccessError*>(&error) == nullptr ? cudaErrorLaunchFailure
           : is_misaligned                                     ? cudaErrorMisalignedAddress
                                                               : cudaErrorIllegalAddress;
}

// ---- interruption ----

volatile sig_atomic_t is_interrupted_by = 0;
bool runs_kernel = false;

// A launch in which no thread ends or meets others has no end, or is slow: for so long, in processor time,
// or twenty times as long as the longest launch before, it is waited for. Four times that where threads
// meet, and none ends. (custom/patience.py, for kernels of the package.)
class Patience {
  public:
    double seconds = 0;  // 0: for ever
    std::string text;    // of the launch that was ended

    bool is_over() {
        if (seconds == 0) {
            return false;
        }
        const Progress now = progress();
        const double time = processor_time();
        if (now.launch != last_.launch) {
            began_ = ended_at_ = met_at_ = time;
        }
        if (now.ended != last_.ended) {
            ended_at_ = time;
            longest_ = std::max(longest_, time - began_);
        }
        if (now.met != last_.met) {
            met_at_ = time;
        }
        last_ = now;
        const double limit = std::max(seconds, 20 * longest_);
        const bool meets = time - met_at_ <= limit;
        const double since = time - (meets ? ended_at_ : std::max(ended_at_, met_at_));
        if (since <= (meets ? 4 * limit : limit)) {
            return false;
        }
        text = describe_progress() + ": did not end: no thread " + (meets ? "ended" : "ended or met others") +
               " for " + text_of(since) + " s of processor time";
        return true;
    }

  private:
    static std::string text_of(double seconds) {
        char text[32];
        std::snprintf(text, sizeof text, "%.3g", seconds);
        return text;
    }
    static double processor_time() {
        timespec now{};
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
        return double(now.tv_sec) + 1e-9 * double(now.tv_nsec);
    }

    Progress last_{};
    double began_ = 0, ended_at_ = 0, met_at_ = 0, longest_ = 0;
};
Patience patience;

bool go_on_question() { return is_interrupted_by == 0 && !patience.is_over(); }

void interrupted(int number) {
    if (!runs_kernel || is_interrupted_by != 0) {
        _exit(128 + number);
    }
    is_interrupted_by = number;
}

// ---- the launch ----

struct Configuration {
    dim3 grid, block;
    size_t shared_bytes;
    bool is_set, is_cooperative;
};
Configuration configuration{};
constexpr int64_t most_threads_together = 4 * 2048;  // as the device's properties say

// Dynamic shared memory that kernels were allowed, by their bodies; by null, all of them.
using Body = void (*)(void*);
std::map<Body, size_t> allowed;
Body asked_for = nullptr;
bool is_asked = false;

// 0: nobody asked.
size_t allowed_bytes(Body body) {
    const auto own = allowed.find(body), all = allowed.find(nullptr);
    return std::max(own == allowed.end() ? 0 : own->second, all == allowed.end() ? 0 : all->second);
}

struct Start {
    Start() {
        if (const char* path = std::getenv("TAPEGRAD_EMULATE_JOURNAL")) {
            journal = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
            write_head();
            lseek(journal, sizeof head, SEEK_SET);
            unsetenv("TAPEGRAD_EMULATE_JOURNAL");
        }
        if (const char* told = std::getenv("TAPEGRAD_EMULATE_SCHEDULE")) {
            char name[16] = "";
            unsigned long long seed = 0, skipped = 0, count = all_decisions;
            std::sscanf(told, "%15s %llu %llu %llu", name, &seed, &skipped, &count);
            for (Schedule schedule : {Schedule::random, Schedule::ascending, Schedule::descending}) {
                if (std::strcmp(name, schedule_name(schedule)) == 0) {
                    set_schedule({schedule, seed, skipped, count});
                }
            }
        }
        if (const char* told = std::getenv("TAPEGRAD_EMULATE_PATIENCE")) {
            patience.seconds = std::atof(told);
        }
        set_barriers_wait_for_exited(false);
#ifdef TAPEGRAD_CHECKED
        check::set_reports_once(true);
#endif
        ask_whether_to_go_on(go_on_question);
        signal(SIGINT, interrupted);
        signal(SIGTERM, interrupted);
    }
    ~Start() {
        if (!unread.empty()) {
            remark(unread + "; nobody asked for the error");
        }
    }
};
Start start;

}  // namespace

cudaError_t note(cudaError_t error) { return last_error = error; }

cudaError_t status() {
    if (device_error != cudaSuccess) {
        last_error = device_error;
    }
    return device_error;
}

bool failing() {
    if (device_error == cudaSuccess) {
        return false;
    }
    if (++calls_in_vain > most_calls_in_vain) {
        remark("the program went on after the error, and was ended");
        std::exit(1);
    }
    status();
    return true;
}

void report(const std::string& text) { write_record('!', text); }

void remark(const std::string& text) {
    if (remarks.insert(text).second) {
        write_record('-', text);
    }
}

void configure(dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t) {
    configuration = {grid, block, shared_bytes, true, false};
}

void configure_cooperative(dim3 grid, dim3 block, size_t shared_bytes) {
    configuration = {grid, block, shared_bytes, true, true};
}

cudaError_t last_launch() {
    unread.clear();
    return launch_error;
}

void ask_for_kernel() {
    is_asked = true;
    asked_for = nullptr;
}

cudaError_t allow_shared_bytes(cudaFuncAttribute attribute, int bytes) {
    is_asked = false;
    if (status() != cudaSuccess || attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) {
        return device_error;
    }
    if (bytes < 0 || size_t(bytes) > max_shared_bytes) {
        return note(cudaErrorInvalidValue);
    }
    allowed[asked_for] = size_t(bytes);
    return cudaSuccess;
}

cudaError_t run_configured(const char* kernel, void (*body)(void*), void* closure, size_t bytes) {
    if (in_kernel) {
        leave_kernel();
        stop(std::string("calls the kernel ") + kernel + ": kernels that launch others are not emulated");
    }
    if (is_asked) {
        is_asked = false;
        asked_for = body;
        return cudaSuccess;
    }
    if (!configuration.is_set) {
        std::fprintf(stderr, "the kernel %s was called without <<<grid, block>>>\n", kernel);
        std::abort();
    }
    const Configuration c = configuration;
    configuration.is_set = false;
    if (failing()) {
        return launch_error = device_error;
    }
    const Extent grid(c.grid.x, c.grid.y, c.grid.z), block(c.block.x, c.block.y, c.block.z);
    const size_t asked = allowed_bytes(body), dynamic = asked > 0 ? asked : max_static_shared_bytes;
    if (c.shared_bytes > dynamic) {
        unread = "refused: " + describe_launch(kernel, grid, block, c.shared_bytes) + ": " +
                 std::to_string(dynamic) + " are allowed; cudaFuncSetAttribute(" + kernel_name(kernel) +
                 ", cudaFuncAttributeMaxDynamicSharedMemorySize, bytes) allows more, up to " +
                 std::to_string(max_shared_bytes);
        return launch_error = note(cudaErrorInvalidValue);
    }
    try {
        check_launch(kernel, grid, block, c.shared_bytes);
    } catch (const KernelError& error) {
        unread = std::string("refused: ") + error.what();
        return launch_error = note(cudaErrorInvalidConfiguration);
    }
    if (c.is_cooperative && grid.x * grid.y * grid.z * block.x * block.y * block.z > most_threads_together) {
        unread = std::string("refused: ") + kernel + ", cooperative, has more threads than the device at once";
        return launch_error = note(cudaErrorCooperativeLaunchTooLarge);
    }
    tell_checks();
#ifdef TAPEGRAD_CHECKED
    check::set_arguments(closure, bytes);
#else
    (void)bytes;
#endif
    std::strncpy(head.running, kernel, sizeof head.running - 1);
    write_head();
    launch_error = cudaSuccess;
    runs_kernel = true;
    try {
        run_kernel(kernel, grid, block, c.shared_bytes, body, closure, c.is_cooperative,
                   asked > 0 ? max_shared_bytes : max_static_shared_bytes);
    } catch (const KernelError& error) {
        report(error.what());
        if (work_done().completed < work_done().launches) {
            launch_error = device_error = error_of(error);
        }
    } catch (const Interrupted&) {
        if (is_interrupted_by == 0) {
            report(patience.text);
            launch_error = device_error = cudaErrorLaunchTimeout;
        } else {
            report(describe_launch(kernel, grid, block, c.shared_bytes) + ": interrupted in block (" +
                   std::to_string(blockIdx.x) + ", " + std::to_string(blockIdx.y) + ", " +
                   std::to_string(blockIdx.z) + "), thread (" + std::to_string(threadIdx.x) + ", " +
                   std::to_string(threadIdx.y) + ", " + std::to_string(threadIdx.z) + ")");
        }
    }
    runs_kernel = false;
    std::memset(head.running, 0, sizeof head.running);
    head.launches = work_done().launches;
    head.threads = work_done().threads;
    write_head();
    if (is_interrupted_by != 0) {
        std::fflush(nullptr);
        _exit(128 + is_interrupted_by);
    }
    return launch_error;
}

}  // namespace cuda
}  // namespace emulate

cudaError_t cudaGetLastError() {
    using namespace emulate::cuda;
    unread.clear();
    const cudaError_t error = status() != cudaSuccess ? device_error : last_error;
    last_error = cudaSuccess;
    return error;
}

cudaError_t cudaPeekAtLastError() {
    using namespace emulate::cuda;
    unread.clear();
    return status() != cudaSuccess ? device_error : last_error;
}

// What the C library is called by where a program prints: in a kernel, outside of its own code, which an
// interruption may leave anywhere.
extern "C" {

int __wrap_printf(const char* format, ...) {
    const bool was_in_kernel = emulate::in_kernel;
    emulate::leave_kernel();
    va_list arguments;
    va_start(arguments, format);
    const int count = std::vprintf(format, arguments);
    va_end(arguments);
    if (was_in_kernel) {
        emulate::return_to_kernel();
    }
    return count;
}

}
