// The switch is a dozen instructions of assembly on x86-64 and ucontext elsewhere (or where
// TAPEGRAD_UCONTEXT is defined). swapcontext works everywhere, but saves the signal mask with a system
// call each time and is some fifty times slower.
#include "fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <new>
#include <vector>

#if !defined(TAPEGRAD_UCONTEXT) && !(defined(__x86_64__) && defined(__ELF__))
#define TAPEGRAD_UCONTEXT
#endif

#ifdef TAPEGRAD_UCONTEXT
#include <ucontext.h>
#else
extern "C" __attribute__((visibility("hidden"))) void tapegrad_switch_stack(void** save, void* load);

// System V calling convention: rbx, rbp, r12-r15 and rsp belong to the caller; all else may be lost.
asm(R"(
    .text
    .hidden tapegrad_switch_stack
    .globl  tapegrad_switch_stack
    .type   tapegrad_switch_stack, @function
    .p2align 4
tapegrad_switch_stack:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq  %rsp, (%rdi)
    movq  %rsi, %rsp
    popq  %r15
    popq  %r14
    popq  %r13
    popq  %r12
    popq  %rbx
    popq  %rbp
    ret
    .size tapegrad_switch_stack, .-tapegrad_switch_stack
)");
#endif

namespace emulate {

struct Fiber {
#ifdef TAPEGRAD_UCONTEXT
    ucontext_t context;
#else
    void* stack_pointer;
#endif
    char* stack;
    void (*entry)();
};

namespace {

std::vector<Fiber*> pool;
int fibers_made = 0;

// The page below the stack stays unmapped for use, so that an overflow stops at once: kernels are
// compiled so that they touch every page of a large frame.
char* map_stack() {
    const size_t page = size_t(sysconf(_SC_PAGESIZE));
    void* memory = mmap(nullptr, stack_bytes + page, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory, page, PROT_NONE) != 0) {
        throw std::bad_alloc();
    }
    return static_cast<char*>(memory) + page;
}

void prepare_stack(Fiber& fiber) {
#ifdef TAPEGRAD_UCONTEXT
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack;
    fiber.context.uc_stack.ss_size = stack_bytes;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, fiber.entry, 0);
#else
    // As if `entry` had been called and had switched away at its first instruction: six saved
    // registers, the address to return to, and the zero return address at which unwinding ends.
    void** top = reinterpret_cast<void**>(fiber.stack + stack_bytes);
    top[-1] = nullptr;
    top[-2] = reinterpret_cast<void*>(fiber.entry);
    fiber.stack_pointer = top - 8;
#endif
}

}  // namespace

Fiber* adopt_current_stack() { return new Fiber(); }

Fiber* take_fiber(void (*entry)()) {
    if (!pool.empty()) {
        Fiber* fiber = pool.back();
        pool.pop_back();
        return fiber;
    }
    char* stack = map_stack();
    Fiber* fiber = new Fiber();
    fiber->stack = stack;
    fiber->entry = entry;
    prepare_stack(*fiber);
    ++fibers_made;
    return fiber;
}

const char* stack_of(const Fiber* fiber) { return fiber->stack; }

void give_fiber_back(Fiber* fiber) { pool.push_back(fiber); }

void restart_fiber(Fiber* fiber) { prepare_stack(*fiber); }

void switch_fiber(Fiber* from, Fiber* to) {
#ifdef TAPEGRAD_UCONTEXT
    swapcontext(&from->context, &to->context);
#else
    tapegrad_switch_stack(&from->stack_pointer, to->stack_pointer);
#endif
}

FiberCounts count_fibers() { return {fibers_made, int(pool.size())}; }

}  // namespace emulate
