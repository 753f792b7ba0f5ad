// Launches of the emulated device take turns, in all of its extensions: the emulators have one state each,
// and the signals by which they are knocked at and told of faults are the process's.
//
// A launch that lasts lets Python's other threads go on: it gives the GIL up when it is knocked at first
// (runtime.h). One that is over before keeps it, as taking it back may cost longer than the launch.
#pragma once

#include <pthread.h>
#include <pybind11/pybind11.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <new>
#include <utility>

#ifdef __linux__
#include <sys/syscall.h>
#endif

namespace binding {

struct Turns {
    std::timed_mutex mutex;
    std::atomic<bool> is_taken{false}, is_closing{false};
    pthread_t owner{};
    // Of the launch that runs:
    PyThreadState* without_gil = nullptr;  // null: its thread holds the GIL
    bool serves_signals = false;           // Python's, which only its first thread does
    volatile sig_atomic_t was_pressed = 0;  // CTRL-C, where it does not
    struct sigaction of_ctrl_c {};
    bool is_lost = false;  // in a child process, forked while another thread's kernel ran

    bool are_mine() const { return is_taken && pthread_equal(owner, pthread_self()); }
};

// Those of the process, which all extensions share.
constexpr const char* name_of_turns = "tapegrad_turns_of_launches";
inline Turns& turns() {
    static Turns& all = pybind11::get_or_create_shared_data<Turns>(name_of_turns);
    return all;
}

constexpr auto moment = std::chrono::milliseconds(1), look_for_signals = std::chrono::milliseconds(50);
constexpr int moments_before_fork = 250, moments_before_exit = 1000;

// A launch that is in the middle is waited for, for a moment: a copy of its state is of no use.
inline void wait_before_fork() {
    const Turns& all = turns();
    for (int i = 0; i < moments_before_fork && all.is_taken && !all.are_mine(); ++i) {
        usleep(moment.count() * 1000);
    }
}

inline void leave_turns_to_child() {
    Turns& all = turns();
    if (!all.are_mine()) {
        all.is_lost = all.is_lost || all.is_taken;
        all.is_taken = false;
        all.without_gil = nullptr;
        new (&all.mutex) std::timed_mutex;
    }
}

inline void note_ctrl_c(int number, siginfo_t* info, void* context) {
    Turns& all = turns();
    all.was_pressed = 1;
    if (all.of_ctrl_c.sa_flags & SA_SIGINFO) {
        all.of_ctrl_c.sa_sigaction(number, info, context);
    } else {
        all.of_ctrl_c.sa_handler(number);
    }
}

inline bool is_first_thread() {
#ifdef __linux__
    return syscall(SYS_gettid) == getpid();
#else
    return pthread_main_np() != 0;
#endif
}

// While it lives, the caller's launch is the only one. With the GIL.
class Turn {
  public:
    // Where others launch, they are waited for, without the GIL; Python's signals are served meanwhile.
    Turn() : is_inner_(turns().are_mine()) {
        Turns& all = turns();
        while (!is_inner_ && !all.mutex.try_lock()) {
            // (No gil_scoped_release: Python may end the thread where it wants the GIL back, and
            // nothing unwinds through a destructor that must not throw.)
            PyThreadState* const own = PyEval_SaveThread();
            const bool is_ours = all.mutex.try_lock_for(look_for_signals);
            PyEval_RestoreThread(own);
            if (is_ours) {
                break;
            }
            if (PyErr_CheckSignals() != 0) {
                throw pybind11::error_already_set();
            }
        }
        if (!is_inner_) {
            all.owner = pthread_self();
            all.is_taken = true;
            all.serves_signals = is_first_thread();
            all.was_pressed = 0;
            if (!all.serves_signals) {
                look_for_ctrl_c();
            }
        }
    }
    // Takes the GIL back, which ends the thread where Python has ended.
    ~Turn() noexcept(false) {
        Turns& all = turns();
        PyThreadState* const without_gil = std::exchange(all.without_gil, nullptr);
        if (!is_inner_) {
            if (looks_for_ctrl_c_) {
                struct sigaction now;
                sigaction(SIGINT, nullptr, &now);
                if (now.sa_sigaction == note_ctrl_c) {
                    sigaction(SIGINT, &all.of_ctrl_c, nullptr);
                }
            }
            all.is_taken = false;
            all.mutex.unlock();
        }
        if (without_gil != nullptr) {
            PyEval_RestoreThread(without_gil);
        }
    }
    Turn(const Turn&) = delete;

  private:
    void look_for_ctrl_c() {
        struct sigaction before;
        sigaction(SIGINT, nullptr, &before);
        if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN && before.sa_sigaction != note_ctrl_c) {
            turns().of_ctrl_c = before;
            struct sigaction ours = before;
            ours.sa_sigaction = note_ctrl_c;
            ours.sa_flags |= SA_SIGINFO;
            looks_for_ctrl_c_ = sigaction(SIGINT, &ours, nullptr) == 0;
        }
    }

    bool is_inner_;  // of a signal handler that interrupts a launch of the same thread
    bool looks_for_ctrl_c_ = false;
};

// Whether CTRL-C means what it does at first: an end.
inline bool ctrl_c_ends() {
    namespace py = pybind11;
    const auto module = py::module_::import("signal");
    return module.attr("getsignal")(int(SIGINT)).is(module.attr("default_int_handler"));
}

// Asked by the emulator while a kernel runs (runtime.h). CTRL-C, and Python's other signals, are served by
// its first thread, where a kernel of that thread is left in what their handlers raise. CTRL-C ends the
// kernels of other threads as well.
inline bool may_go_on() {
    Turns& all = turns();
    if (all.is_closing && !all.serves_signals) {
        return false;
    }
    const bool asks_python = all.serves_signals || all.was_pressed;
    if (asks_python && all.without_gil != nullptr) {
        PyEval_RestoreThread(std::exchange(all.without_gil, nullptr));
    }
    if (asks_python && PyErr_CheckSignals() != 0) {
        return false;
    }
    if (std::exchange(all.was_pressed, 0) && ctrl_c_ends()) {
        return false;
    }
    if (all.without_gil == nullptr) {
        all.without_gil = PyEval_SaveThread();
    }
    return true;
}

// At Python's end: the launch of a thread that Python does not wait for ends, and only the first thread
// may launch from then on.
inline void close_turns() {
    Turns& all = turns();
    all.is_closing = true;
    const pybind11::gil_scoped_release released;
    if (all.mutex.try_lock_for(moments_before_exit * moment)) {
        all.owner = pthread_self();
        all.is_taken = all.serves_signals = true;
    }
}

// By the first extension of the process.
inline void begin_turns() {
    if (pybind11::get_shared_data(name_of_turns) == nullptr) {
        turns();
        pthread_atfork(wait_before_fork, nullptr, leave_turns_to_child);
        pybind11::module_::import("atexit").attr("register")(pybind11::cpp_function(close_turns));
    }
}

}  // namespace binding
