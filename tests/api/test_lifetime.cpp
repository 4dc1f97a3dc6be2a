// Threads, cancelling, and handles that go in any order at any time.
#include <algorithm>
#include <array>
#include <atomic>
#include <future>
#include <thread>

#include "api/api_test.h"
#include "api/engine_state.h"

namespace lahar::test {
namespace {

constexpr const char* kQuestion = "What is 7 + 8?";
constexpr const char* kAnswer = "7 + 8 = 15.";

void endless(lahar_generate_options& options) { options.ignore_stop_tokens = 1; }

class LifetimeTest : public PumiceEngineTest {
 protected:
  Reply answer() { return generate(engine.get(), user_message(kQuestion)); }
};

TEST_F(LifetimeTest, TheCallbackCancels) {
  int calls = 0;
  const Reply reply = generate(
      engine.get(), user_message("Hi"), [&](const lahar_token&) { return ++calls == 3; }, endless);
  EXPECT_EQ(reply.status, LAHAR_OK) << lahar_engine_error(engine.get());
  EXPECT_EQ(reply.result.reason, LAHAR_STOP_CANCELLED);
  EXPECT_EQ(calls, 3) << "called again after it had said that it wants no more";
  EXPECT_EQ(answer().text, kAnswer);
}

TEST_F(LifetimeTest, CancelInsideTheCallback) {
  int calls = 0;
  const Reply reply = generate(
      engine.get(), user_message("Hi"),
      [&](const lahar_token&) {
        if (++calls == 3) lahar_cancel(engine.get());
        return 0;
      },
      endless);
  EXPECT_EQ(reply.status, LAHAR_OK);
  EXPECT_EQ(reply.result.reason, LAHAR_STOP_CANCELLED);
  EXPECT_EQ(calls, 3);
  lahar_cancel(engine.get());  // nothing is running: the next one is not touched
  EXPECT_EQ(answer().text, kAnswer);
}

TEST_F(LifetimeTest, CancelFromAnotherThread) {
  std::promise<void> third, cancelled;
  std::thread button([&, pressed = third.get_future()]() mutable {
    pressed.wait();
    lahar_cancel(engine.get());
    cancelled.set_value();
  });
  int calls = 0;
  const Reply reply = generate(
      engine.get(), user_message("Hi"),
      [&](const lahar_token&) {
        if (++calls == 3) {
          third.set_value();
          cancelled.get_future().wait();
        }
        return 0;
      },
      endless);
  button.join();
  EXPECT_EQ(reply.status, LAHAR_OK);
  EXPECT_EQ(reply.result.reason, LAHAR_STOP_CANCELLED);
  EXPECT_EQ(calls, 3);
}

TEST_F(LifetimeTest, GenerateInsideTheCallbackIsRefused) {
  lahar_status inner = LAHAR_OK;
  std::string text;
  const Reply reply = generate(engine.get(), user_message(kQuestion), [&](const lahar_token&) {
    inner = generate(engine.get(), user_message("Hi")).status;
    text = lahar_engine_error(engine.get());
    return 0;
  });
  EXPECT_EQ(inner, LAHAR_INVALID_ARGUMENT);
  EXPECT_NE(text.find("inside a callback"), std::string::npos) << text;
  EXPECT_EQ(reply.status, LAHAR_OK);
  EXPECT_EQ(reply.text, kAnswer);
}

TEST_F(LifetimeTest, EverythingElseIsAllowedInsideTheCallback) {
  const Engine other = make_engine(model);
  Reply inner;
  size_t devices = 0, tokens = 0;
  uint32_t context = 0;
  lahar_status around = LAHAR_OK;
  const Reply reply = generate(engine.get(), user_message(kQuestion), [&](const lahar_token& token) {
    if (token.position > 20) return 0;
    inner = generate(other.get(), user_message("What is the capital of Japan?"), [&](const lahar_token&) {
      around = generate(engine.get(), user_message("Hi")).status;  // around through another engine: it would wait for itself
      return 0;
    });
    lahar_list_devices(runtime.get(), nullptr, 0, &devices);
    lahar_tokenize(model.get(), "Hi", 2, 0, nullptr, 0, &tokens);
    context = lahar_engine_context(engine.get());
    return 0;
  });
  EXPECT_EQ(reply.text, kAnswer);
  EXPECT_EQ(inner.text, "The capital of Japan is Tokyo.");
  EXPECT_EQ(around, LAHAR_INVALID_ARGUMENT);
  EXPECT_GT(devices, 0u);
  EXPECT_GT(tokens, 0u);
  EXPECT_EQ(context, 512u);
}

TEST_F(LifetimeTest, TwoThreadsOnOneEngine) {
  std::atomic<int> inside = 0;
  const auto& rows = expected()["greedy"];
  const auto ask = [&](size_t first) {
    for (size_t i = 0; i < 3; ++i) {
      const auto& row = rows[1 + (first + i) % (rows.size() - 1)];
      const Reply reply = generate(engine.get(), user_message(row["question"]), [&](const lahar_token&) {
        EXPECT_EQ(++inside, 1) << "two generations at once";
        --inside;
        return 0;
      });
      EXPECT_EQ(reply.status, LAHAR_OK);
      EXPECT_EQ(reply.text, row["answer"].get<std::string>());
    }
  };
  std::thread a(ask, 0), b(ask, 3);
  a.join();
  b.join();
}

// A call that waits for its turn is not what lahar_cancel stops.
TEST_F(LifetimeTest, CancelSparesWhoWaits) {
  std::thread second;
  Reply late;
  const Reply first = generate(
      engine.get(), user_message("Hi"),
      [&](const lahar_token&) {
        if (!second.joinable()) second = std::thread([&] { late = answer(); });
        lahar_cancel(engine.get());
        return 0;
      },
      endless);
  second.join();
  EXPECT_EQ(first.result.reason, LAHAR_STOP_CANCELLED);
  EXPECT_EQ(late.status, LAHAR_OK);
  EXPECT_EQ(late.text, kAnswer);
}

// Its prompt is still being made into tokens.
TEST_F(LifetimeTest, CancelBeforeItBegins) {
  bool called = false;
  const auto outcome = engine->state->generate([&]() -> Result<api::GenerateCall> {
    lahar_cancel(engine.get());
    api::GenerateCall call;
    call.prompt = {5, 6, 7};
    call.user = &called;
    call.callback = [](void* user, const lahar_token*) {
      *static_cast<bool*>(user) = true;
      return 0;
    };
    return call;
  });
  ASSERT_TRUE(outcome.ok());
  EXPECT_EQ(outcome->reason, StopReason::kCancelled);
  EXPECT_FALSE(called);
  EXPECT_EQ(answer().text, kAnswer);
}

TEST_F(LifetimeTest, DestroyInsideTheCallback) {
  int calls = 0;
  lahar_engine* handle = engine.release();
  const Reply reply = generate(
      handle, user_message("Hi"),
      [&](const lahar_token&) {
        if (++calls == 3) lahar_engine_destroy(handle);
        return 0;
      },
      endless);
  EXPECT_EQ(reply.status, LAHAR_CANCELLED);
  EXPECT_EQ(calls, 3);
  EXPECT_EQ(reply.result.generated_tokens, 0u);
}

TEST_F(LifetimeTest, DestroyAllInsideTheCallback) {
  int calls = 0;
  const Reply reply = generate(
      engine.get(), user_message("Hi"),
      [&](const lahar_token&) {
        if (++calls == 2) {
          runtime.reset();
          lahar_engine_destroy(engine.release());
          model.reset();
        }
        return 0;
      },
      endless);
  EXPECT_EQ(reply.status, LAHAR_CANCELLED);
}

// A waits for B inside its callback; B's callback destroys both.
TEST_F(LifetimeTest, DestroyTheOuterEngineInsideTheInnerCallback) {
  lahar_engine* outer = engine.release();
  lahar_engine* inner = make_engine(model).release();
  lahar_status inner_status = LAHAR_OK;
  const Reply reply = generate(
      outer, user_message("Hi"),
      [&](const lahar_token&) {
        inner_status = generate(
                           inner, user_message("Hi"),
                           [&](const lahar_token&) {
                             lahar_engine_destroy(outer);
                             lahar_engine_destroy(inner);
                             return 0;
                           },
                           endless)
                           .status;
        return 0;
      },
      endless);
  EXPECT_EQ(inner_status, LAHAR_CANCELLED);
  EXPECT_EQ(reply.status, LAHAR_CANCELLED);
}

TEST_F(LifetimeTest, DestroyWhileGenerationsRunAndWait) {
  const std::shared_ptr<api::EngineState> state = engine->state;  // to see that all three have come so far
  lahar_engine* handle = engine.get();
  std::promise<void> all_came;
  std::atomic<int> calls = 0;
  std::atomic<bool> destroyed = false;
  std::array<Reply, 3> replies;
  std::array<std::thread, 3> threads;
  for (size_t i = 0; i < 3; ++i)
    threads[i] = std::thread([&, i] {
      const auto on_token = [&](const lahar_token&) {
        EXPECT_FALSE(destroyed) << "called after lahar_engine_destroy had returned";
        if (++calls == 1) all_came.get_future().wait();
        std::this_thread::yield();
        return 0;
      };
      replies[i] = generate(handle, user_message("Hi"), on_token, endless);
    });
  while (state->calls() < 3) std::this_thread::yield();
  all_came.set_value();
  engine.reset();
  destroyed = true;
  for (std::thread& thread : threads) thread.join();
  for (const Reply& reply : replies) EXPECT_EQ(reply.status, LAHAR_CANCELLED);
  EXPECT_EQ(state->calls(), 0u);
}

// The same inside a callback: those that wait are let go by the thread that nobody joins any more.
TEST_F(LifetimeTest, DestroyInsideTheCallbackWhileOthersWait) {
  const std::shared_ptr<api::EngineState> state = engine->state;
  lahar_engine* handle = engine.release();
  std::atomic<int> calls = 0;
  std::array<Reply, 3> replies;
  std::array<std::thread, 3> threads;
  for (size_t i = 0; i < 3; ++i)
    threads[i] = std::thread([&, i] {
      const auto on_token = [&](const lahar_token&) {
        ++calls;
        while (state->calls() < 3) std::this_thread::yield();
        lahar_engine_destroy(handle);
        return 0;
      };
      replies[i] = generate(handle, user_message("Hi"), on_token, endless);
    });
  for (std::thread& thread : threads) thread.join();
  for (const Reply& reply : replies) EXPECT_EQ(reply.status, LAHAR_CANCELLED);
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(state.use_count(), 1) << "something still holds the engine";
}

// The order of the handles' destruction, all six; what is left goes on working after each step.
TEST_F(ApiTest, DestroyInEveryOrder) {
  std::array<int, 3> order = {0, 1, 2};
  do {
    SCOPED_TRACE(testing::Message() << order[0] << order[1] << order[2]);
    Runtime runtime = make_runtime();
    Model model = pumice(runtime);
    ASSERT_NE(model, nullptr);
    Engine engine = make_engine(model, 64);
    ASSERT_NE(engine, nullptr);
    for (const int which : order) {
      if (which == 0) runtime.reset();
      if (which == 1) model.reset();
      if (which == 2) engine.reset();
      size_t count = 0;
      if (runtime) { EXPECT_EQ(lahar_list_devices(runtime.get(), nullptr, 0, &count), LAHAR_OK); }
      if (model) { EXPECT_EQ(lahar_tokenize(model.get(), "Hi", 2, 0, nullptr, 0, &count), LAHAR_LIMIT); }
      if (engine) { EXPECT_EQ(generate(engine.get(), user_message(kQuestion)).text, kAnswer); }
    }
  } while (std::next_permutation(order.begin(), order.end()));
}

// Models that outlive their runtime open engines all the same.
TEST_F(ApiTest, AnEngineOfAModelWithoutRuntime) {
  Runtime runtime = make_runtime();
  const Model model = pumice(runtime);
  ASSERT_NE(model, nullptr);
  runtime.reset();
  const Engine engine = make_engine(model, 64);
  ASSERT_NE(engine, nullptr);
  EXPECT_EQ(generate(engine.get(), user_message(kQuestion)).text, kAnswer);
}

}  // namespace
}  // namespace lahar::test
