// cuda::atomic, cuda::atomic_ref and their relatives, as far as the compiler's own atomic operations go,
// which the checks see with their memory order. Of scopes they know that of a block, and one for all others.
#pragma once

#include <cstring>
#include <type_traits>

namespace cuda {

enum thread_scope { thread_scope_system, thread_scope_device, thread_scope_block, thread_scope_thread };

enum memory_order {
    memory_order_relaxed = __ATOMIC_RELAXED,
    memory_order_consume = __ATOMIC_CONSUME,
    memory_order_acquire = __ATOMIC_ACQUIRE,
    memory_order_release = __ATOMIC_RELEASE,
    memory_order_acq_rel = __ATOMIC_ACQ_REL,
    memory_order_seq_cst = __ATOMIC_SEQ_CST,
};

#define EMULATE_INLINE __attribute__((always_inline)) inline

EMULATE_INLINE void atomic_thread_fence(memory_order order, thread_scope = thread_scope_system) {
    if (order != memory_order_relaxed) {
        emulate::check::fence(emulate::check::Scope::device);
    }
}

// The order is passed on as a constant: the compiler knows no other.
#define EMULATE_WITH_ORDER(order, operation)                  \
    switch (order) {                                          \
        case memory_order_relaxed:                            \
            operation(__ATOMIC_RELAXED);                      \
            break;                                            \
        case memory_order_acquire:                            \
        case memory_order_consume:                            \
            operation(__ATOMIC_ACQUIRE);                      \
            break;                                            \
        case memory_order_release:                            \
            operation(__ATOMIC_RELEASE);                      \
            break;                                            \
        default:                                              \
            operation(__ATOMIC_SEQ_CST);                      \
    }

// What both have: operations on a value that `at()` leads to.
template <class Self, class T>
class AtomicOperations {
  public:
    EMULATE_INLINE T load(memory_order order = memory_order_seq_cst) const {
        T value;
#define EMULATE_LOAD(m) __atomic_load(at(), &value, (m) == __ATOMIC_RELEASE ? __ATOMIC_RELAXED : (m))
        EMULATE_WITH_ORDER(order, EMULATE_LOAD)
#undef EMULATE_LOAD
        return value;
    }
    EMULATE_INLINE void store(T value, memory_order order = memory_order_seq_cst) const {
#define EMULATE_STORE(m) __atomic_store(at(), &value, (m) == __ATOMIC_ACQUIRE ? __ATOMIC_RELAXED : (m))
        EMULATE_WITH_ORDER(order, EMULATE_STORE)
#undef EMULATE_STORE
    }
    EMULATE_INLINE T exchange(T value, memory_order order = memory_order_seq_cst) const {
        T before;
#define EMULATE_EXCHANGE(m) __atomic_exchange(at(), &value, &before, m)
        EMULATE_WITH_ORDER(order, EMULATE_EXCHANGE)
#undef EMULATE_EXCHANGE
        return before;
    }
    EMULATE_INLINE bool compare_exchange_strong(T& expected, T value,
                                                memory_order order = memory_order_seq_cst) const {
        bool done;
#define EMULATE_COMPARE(m) \
    done = __atomic_compare_exchange(at(), &expected, &value, false, m, __ATOMIC_RELAXED)
        EMULATE_WITH_ORDER(order, EMULATE_COMPARE)
#undef EMULATE_COMPARE
        return done;
    }
    EMULATE_INLINE bool compare_exchange_strong(T& expected, T value, memory_order order,
                                                memory_order) const {
        return compare_exchange_strong(expected, value, order);
    }
    EMULATE_INLINE bool compare_exchange_weak(T& expected, T value,
                                              memory_order order = memory_order_seq_cst) const {
        return compare_exchange_strong(expected, value, order);
    }
    EMULATE_INLINE bool compare_exchange_weak(T& expected, T value, memory_order order,
                                              memory_order) const {
        return compare_exchange_strong(expected, value, order);
    }

#define EMULATE_FETCH(name, expression)                                                           \
    EMULATE_INLINE T name(T value, memory_order order = memory_order_seq_cst) const {             \
        T before = load(memory_order_relaxed);                                                    \
        while (!compare_exchange_strong(before, T(expression), order)) {                          \
        }                                                                                         \
        return before;                                                                            \
    }
    EMULATE_FETCH(fetch_add, before + value)
    EMULATE_FETCH(fetch_sub, before - value)
    EMULATE_FETCH(fetch_and, before & value)
    EMULATE_FETCH(fetch_or, before | value)
    EMULATE_FETCH(fetch_xor, before ^ value)
    EMULATE_FETCH(fetch_min, value < before ? value : before)
    EMULATE_FETCH(fetch_max, before < value ? value : before)
#undef EMULATE_FETCH

    EMULATE_INLINE operator T() const { return load(); }
    EMULATE_INLINE T operator++() const { return fetch_add(T(1)) + T(1); }
    EMULATE_INLINE T operator++(int) const { return fetch_add(T(1)); }
    EMULATE_INLINE T operator--() const { return fetch_sub(T(1)) - T(1); }
    EMULATE_INLINE T operator--(int) const { return fetch_sub(T(1)); }
    EMULATE_INLINE T operator+=(T value) const { return fetch_add(value) + value; }
    EMULATE_INLINE T operator-=(T value) const { return fetch_sub(value) - value; }
    EMULATE_INLINE T operator&=(T value) const { return fetch_and(value) & value; }
    EMULATE_INLINE T operator|=(T value) const { return fetch_or(value) | value; }
    EMULATE_INLINE T operator^=(T value) const { return fetch_xor(value) ^ value; }
    EMULATE_INLINE bool is_lock_free() const { return true; }

  private:
    EMULATE_INLINE T* at() const { return static_cast<const Self*>(this)->address(); }
};

template <class T, thread_scope scope = thread_scope_system>
class atomic : public AtomicOperations<atomic<T, scope>, T> {
  public:
    using value_type = T;
    atomic() = default;
    constexpr atomic(T value) : value_(value) {}
    EMULATE_INLINE T operator=(T value) {
        this->store(value);
        return value;
    }
    EMULATE_INLINE T* address() const {
        if (scope == thread_scope_block) {
            emulate::check::narrow_next_atomic();
        }
        return const_cast<T*>(&value_);
    }

  private:
    T value_;
};

template <class T, thread_scope scope = thread_scope_system>
class atomic_ref : public AtomicOperations<atomic_ref<T, scope>, T> {
  public:
    using value_type = T;
    explicit atomic_ref(T& value) : address_(&value) {}
    EMULATE_INLINE T operator=(T value) const {
        this->store(value);
        return value;
    }
    EMULATE_INLINE T* address() const {
        if (scope == thread_scope_block) {
            emulate::check::narrow_next_atomic();
        }
        return address_;
    }

  private:
    T* address_;
};

template <thread_scope scope = thread_scope_system>
class atomic_flag {
  public:
    EMULATE_INLINE bool test_and_set(memory_order order = memory_order_seq_cst) {
        return value_.exchange(1, order) != 0;
    }
    EMULATE_INLINE void clear(memory_order order = memory_order_seq_cst) { value_.store(0, order); }
    EMULATE_INLINE bool test(memory_order order = memory_order_seq_cst) const {
        return value_.load(order) != 0;
    }

  private:
    atomic<int, scope> value_;
};

#undef EMULATE_WITH_ORDER

// As libcu++ spells those that C++ has, too.
namespace std {
using ::cuda::atomic_thread_fence;
using ::cuda::memory_order;
using ::cuda::memory_order_acq_rel;
using ::cuda::memory_order_acquire;
using ::cuda::memory_order_consume;
using ::cuda::memory_order_relaxed;
using ::cuda::memory_order_release;
using ::cuda::memory_order_seq_cst;
template <class T>
using atomic = ::cuda::atomic<T>;
template <class T>
using atomic_ref = ::cuda::atomic_ref<T>;
}  // namespace std

}  // namespace cuda
