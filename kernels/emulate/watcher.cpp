#include "watcher.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

#include <mutex>
#include <new>

#include "block.h"
#include "interruption.h"

namespace emulate {

namespace {

std::mutex watched;  // guards what is below
pthread_t runner;
uint64_t launches = 0;
uint64_t running_launch = 0;  // 0: none
bool has_watcher = false;

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

}  // namespace

Watched::Watched() {
    forget_knocks();
    if (somebody_is_asked() && !has_watcher) {
        start_watcher();
    }
    std::lock_guard<std::mutex> lock(watched);
    runner = pthread_self();
    running_launch = ++launches;
    current_progress = {launches, 0, 0};
}

Watched::~Watched() {
    std::lock_guard<std::mutex> lock(watched);
    running_launch = current_progress.launch = 0;
}

bool is_launching_thread() { return pthread_equal(pthread_self(), runner); }

bool answers_knocks() {
    struct sigaction now;
    return sigaction(knock, nullptr, &now) == 0 && now.sa_sigaction == answer_knock;
}

}  // namespace emulate
