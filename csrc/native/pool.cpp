// The caller takes part and takes every piece that nobody else has taken, so that a thread that the
// system does not run costs nothing. Threads are started when first needed; they look for work for
// a moment after each loop, then sleep. A fork has none of its parent's, and starts its own.
#include "pool.h"

#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>

namespace {

// So long a thread looks for work before it sleeps. Waking it costs about as much, and while it looks
// it keeps its processor: in a row of operations it is there at once.
constexpr auto patience = std::chrono::microseconds(100);

struct Loop {
    int64_t count;
    void (*work)(void*, int64_t);
    void* context;
    std::atomic<int64_t> next{0};

    void run() {
        for (int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < count;) {
            work(context, i);
        }
    }
};

// Lets the processor rest for a moment. (Not std::this_thread::yield: another program would get the
// processor for a whole slice of time, and the loop wait for it.)
void relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

// Whether it came true within our patience.
template <class Condition>
bool soon(Condition condition) {
    const auto until = std::chrono::steady_clock::now() + patience;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > until) {
            return false;
        }
        relax();
    }
    return true;
}

class Pool {
public:
    // Whether the threads were free.
    bool run(Loop& loop, int helpers) {
        std::unique_lock<std::mutex> mine(in_use_, std::try_to_lock);
        if (!mine.owns_lock()) {
            return false;
        }
        start(helpers);
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            loop_ = &loop;
            places_ = helpers;
            ++generation_;
        }
        wake_.notify_all();
        loop.run();
        std::unique_lock<std::mutex> lock(mutex_);
        loop_ = nullptr;  // nobody comes any more
        lock.unlock();
        if (!soon([this] { return inside_ == 0; })) {
            lock.lock();
            left_.wait(lock, [this] { return inside_ == 0; });
        }
        // The last to leave may still hold the mutex, but the loop it has done with.
        return true;
    }

private:
    void start(int helpers) {
        if (started_ >= helpers) {
            return;
        }
        sigset_t all, before;  // signals are for the program's own threads
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        try {
            for (; started_ < helpers; ++started_) {
                std::thread(&Pool::help, this).detach();
            }
        } catch (const std::system_error&) {  // it goes with those that there are
        }
        pthread_sigmask(SIG_SETMASK, &before, nullptr);
    }

    void help() {
        uint64_t seen = 0;
        std::unique_lock<std::mutex> lock(mutex_);
        for (;;) {
            lock.unlock();
            soon([&] { return generation_ != seen; });
            lock.lock();
            wake_.wait(lock, [&] { return generation_ != seen; });
            seen = generation_;
            if (loop_ == nullptr || places_ == 0) {
                continue;
            }
            --places_;
            ++inside_;
            Loop& loop = *loop_;
            lock.unlock();
            loop.run();
            lock.lock();
            if (--inside_ == 0) {
                left_.notify_one();
            }
        }
    }

    std::mutex in_use_, mutex_;
    std::condition_variable wake_, left_;
    Loop* loop_ = nullptr;
    int places_ = 0;
    int started_ = 0;
    std::atomic<uint64_t> generation_{0};
    std::atomic<int> inside_{0};
};

std::atomic<int> threads{1};
std::atomic<Pool*> pool{nullptr};  // never deleted: its threads sleep in it until the process ends

Pool& get_pool() {
    Pool* found = pool.load();
    if (found == nullptr) {
        static const int watching = pthread_atfork(nullptr, nullptr, [] { pool = nullptr; });
        (void)watching;
        Pool* made = new Pool;
        if (pool.compare_exchange_strong(found, made)) {
            return *made;
        }
        delete made;
    }
    return *found;
}

}  // namespace

void in_parallel(int64_t count, void (*work)(void*, int64_t), void* context) {
    Loop loop{count, work, context};
    const int64_t useful = count < threads ? count : threads.load();
    if (useful < 2 || !get_pool().run(loop, int(useful) - 1)) {
        loop.run();
    }
}

void set_threads(int count) { threads = count; }

int get_threads() { return threads; }
