#include "faults.h"

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <memory>

#if defined(__linux__) && (defined(__x86_64__) || defined(__aarch64__))
#include <ucontext.h>
#endif

namespace emulate {

namespace {

constexpr int numbers[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
constexpr int count = int(std::size(numbers));
struct sigaction before[count];
void (*ask)(const Fault&) = nullptr;

Fault fault_of(const siginfo_t& info, const void* context) {
    if (info.si_signo == SIGFPE || info.si_signo == SIGILL) {
        const bool divides = info.si_signo == SIGFPE;
        return {divides ? Fault::Kind::divides : Fault::Kind::executes, nullptr,
                interrupted_code(context)};
    }
    Fault fault{Fault::Kind::accesses, info.si_addr, interrupted_code(context)};
#if defined(__linux__) && defined(__x86_64__)
    if (info.si_code != SI_KERNEL) {  // else the address is none that memory could have
        const auto& registers = static_cast<const ucontext_t*>(context)->uc_mcontext.gregs;
        fault.kind = registers[REG_ERR] & 2 ? Fault::Kind::writes : Fault::Kind::reads;
    }
#endif
    return fault;
}

void hand_on(int number, siginfo_t* info, void* context) {
    const struct sigaction& next = before[std::find(numbers, numbers + count, number) - numbers];
    if (next.sa_flags & SA_SIGINFO) {
        next.sa_sigaction(number, info, context);
    } else if (next.sa_handler != SIG_DFL && next.sa_handler != SIG_IGN) {
        next.sa_handler(number);
    } else {  // it happens again, and ends the program
        signal(number, SIG_DFL);
        if (info->si_code <= 0) {
            raise(number);
        }
    }
}

void answer(int number, siginfo_t* info, void* context) {
    const int error = errno;
    // Not what was sent by somebody, nor what floating-point numbers raise where the host wants that.
    if (info->si_code > 0 && (number != SIGFPE || info->si_code == FPE_INTDIV)) {
        ask(fault_of(*info, context));
    }
    hand_on(number, info, context);
    errno = error;
}

// For faults of a stack that is full. A thread that has such a stack keeps its own.
class SpareStack {
  public:
    SpareStack() {
        stack_t now;
        if (sigaltstack(nullptr, &now) == 0 && (now.ss_flags & SS_DISABLE)) {
            memory_.reset(new char[bytes]);
            stack_t spare{};
            spare.ss_sp = memory_.get();
            spare.ss_size = bytes;
            sigaltstack(&spare, nullptr);
        }
    }
    ~SpareStack() {
        stack_t now;
        if (memory_ && sigaltstack(nullptr, &now) == 0 && now.ss_sp == memory_.get()) {
            now.ss_flags = SS_DISABLE;
            sigaltstack(&now, nullptr);
        }
    }

  private:
    static constexpr size_t bytes = 64 * 1024;
    std::unique_ptr<char[]> memory_;
};

}  // namespace

const void* interrupted_code(const void* context) {
#if defined(__linux__) && defined(__x86_64__)
    return reinterpret_cast<const void*>(
        static_cast<const ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP]);
#elif defined(__linux__) && defined(__aarch64__)
    return reinterpret_cast<const void*>(static_cast<const ucontext_t*>(context)->uc_mcontext.pc);
#else
    (void)context;
    return nullptr;
#endif
}

FaultsAnswered::FaultsAnswered(void (*answer_of_launch)(const Fault&)) {
    static thread_local SpareStack spare;
    (void)spare;
    ask = answer_of_launch;
    struct sigaction ours {};
    ours.sa_sigaction = answer;
    ours.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;  // it may never return
    sigemptyset(&ours.sa_mask);
    for (int i = 0; i < count; ++i) {
        sigaction(numbers[i], &ours, &before[i]);
    }
}

FaultsAnswered::~FaultsAnswered() {
    for (int i = 0; i < count; ++i) {
        struct sigaction now;
        sigaction(numbers[i], nullptr, &now);
        if (now.sa_sigaction == answer) {  // else it is another thread's choice meanwhile
            sigaction(numbers[i], &before[i], nullptr);
        }
    }
}

}  // namespace emulate
