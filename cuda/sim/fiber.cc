// A switch saves the registers that a function must preserve and swaps stack pointers: some twenty times faster than
// swapcontext(), which asks the kernel for the signal mask each time. Other processors than x86-64 use swapcontext().
#include "fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <new>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace lorikeet::sim {
namespace {

constexpr size_t kStackBytes = 128 << 10;

// A stack above a page that may not be touched, so that an overflow stops the program instead of another fiber.
class Stack {
 public:
  Stack() {
    const size_t guard = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    bytes_ = kStackBytes + guard;
    base_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base_ == MAP_FAILED || mprotect(base_, guard, PROT_NONE) != 0) throw std::bad_alloc();
  }
  ~Stack() { munmap(base_, bytes_); }
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;
  char* bottom() const { return static_cast<char*>(base_) + bytes_ - kStackBytes; }
  char* top() const { return static_cast<char*>(base_) + bytes_; }

 private:
  void* base_;
  size_t bytes_;
};

}  // namespace

#if defined(__x86_64__)

extern "C" void lorikeet_sim_switch(void** save, void* to);
asm(R"(
.text
.globl lorikeet_sim_switch
.hidden lorikeet_sim_switch
.type lorikeet_sim_switch,@function
lorikeet_sim_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size lorikeet_sim_switch, .-lorikeet_sim_switch
)");

struct Fiber::Context {
  Stack stack;
  void* own = nullptr;
  void* caller = nullptr;
  void (*entry)(void*) = nullptr;
  void* argument = nullptr;
  static inline thread_local Context* starting = nullptr;

  static void begin() { starting->entry(starting->argument); }
};

void Fiber::start(void (*entry)(void*), void* argument) {
  context_->entry = entry;
  context_->argument = argument;
  // Tops of stacks lie a power of two apart; without the colour all fibers would fight for the same sets of the cache.
  const size_t colour = (reinterpret_cast<uintptr_t>(context_.get()) >> 4) % 16 * 256;
  auto* top = reinterpret_cast<uintptr_t*>(context_->stack.top() - 64 - colour);
  *--top = 0;  // where begin() would return to
  *--top = reinterpret_cast<uintptr_t>(&Context::begin);
  for (int i = 0; i < 6; i++) *--top = 0;
  context_->own = top;
}

void Fiber::resume() {
  Context::starting = context_.get();
  lorikeet_sim_switch(&context_->caller, context_->own);
}

void Fiber::suspend() { lorikeet_sim_switch(&context_->own, context_->caller); }

#else

struct Fiber::Context {
  Stack stack;
  ucontext_t own, caller;
  void (*entry)(void*) = nullptr;
  void* argument = nullptr;
  static inline thread_local Context* starting = nullptr;

  static void begin() { starting->entry(starting->argument); }
};

void Fiber::start(void (*entry)(void*), void* argument) {
  context_->entry = entry;
  context_->argument = argument;
  getcontext(&context_->own);
  context_->own.uc_stack.ss_sp = context_->stack.bottom();
  context_->own.uc_stack.ss_size = kStackBytes;
  context_->own.uc_link = nullptr;
  makecontext(&context_->own, &Context::begin, 0);
}

void Fiber::resume() {
  Context::starting = context_.get();
  swapcontext(&context_->caller, &context_->own);
}

void Fiber::suspend() { swapcontext(&context_->own, &context_->caller); }

#endif

// Stacks are kept for the next fiber of this host thread: a training step is some thousand launches.
static thread_local std::vector<std::unique_ptr<Fiber::Context>> idle;

Fiber::Fiber() {
  if (idle.empty()) {
    context_ = std::make_unique<Context>();
  } else {
    context_ = std::move(idle.back());
    idle.pop_back();
  }
}
Fiber::~Fiber() { idle.push_back(std::move(context_)); }

}  // namespace lorikeet::sim
