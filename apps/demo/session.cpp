#include "demo/session.h"

#include <chrono>

#include "demo/model_list.h"
#include "lahar/pumice.h"

namespace lahar::demo {
namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

}  // namespace

Session::Session(std::shared_ptr<Runtime> runtime, SessionOptions options)
    : runtime_(std::move(runtime)), options_(std::move(options)), time_slice_(options_.time_slice) {
  thread_ = std::thread([this] { work(); });
}

Session::~Session() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
    tasks_.clear();
  }
  load_cancelled_ = true;
  stop();
  wake_.notify_one();
  thread_.join();
}

void Session::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [&] { return closing_ || !tasks_.empty(); });
    if (closing_) return;
    const std::function<void()> task = std::move(tasks_.front());
    tasks_.pop_front();
    working_ = true;
    lock.unlock();
    task();
    lock.lock();
    working_ = false;
  }
}

void Session::enqueue(std::function<void()> task) {
  const std::lock_guard lock(mutex_);
  tasks_.push_back(std::move(task));
  wake_.notify_one();
}

bool Session::busy() const {
  const std::lock_guard lock(mutex_);
  return working_ || !tasks_.empty();
}

void Session::tell(Event event) {
  const std::lock_guard lock(mutex_);
  events_.push_back(std::move(event));
}

std::vector<Event> Session::take_events() {
  const std::lock_guard lock(mutex_);
  return std::exchange(events_, {});
}

std::shared_ptr<const Loaded> Session::loaded() const {
  const std::lock_guard lock(mutex_);
  return loaded_;
}

LoadProgress Session::progress() const {
  const std::lock_guard lock(mutex_);
  return progress_;
}

// ---- loading ----

void Session::load(std::string path) {
  stop();
  {
    const std::lock_guard lock(mutex_);
    progress_ = {true, path, 0, 0};
  }
  load_cancelled_ = false;
  enqueue([this, path = std::move(path)] { do_load(path); });
}

std::shared_ptr<Loaded> Session::open(const std::string& path) {
  auto loaded = std::make_shared<Loaded>();
  loaded->path = path;
  Model model = path.empty() ? Model::from_memory(*runtime_, pumice_gguf()) : Model::open(*runtime_, path);
  EngineOptions options;
  options.vulkan = options_.vulkan;
  options.device = options_.device;
  options.context = options_.context;
  options.alternatives = LAHAR_MOST_ALTERNATIVES;
  options.time_slice = time_slice_;
  options.progress = [this](uint64_t done, uint64_t total) {
    const std::lock_guard lock(mutex_);
    progress_.done = done;
    progress_.total = total;
    return !load_cancelled_;
  };
  loaded->engine = std::make_shared<Engine>(model, options);
  loaded->model = std::make_shared<Model>(std::move(model));
  loaded->info = loaded->engine->info();
  for (uint32_t i = 0; i < loaded->info.layers; ++i) loaded->layers.push_back(loaded->engine->layer(i));
  if (copy_rate_ == 0) copy_rate_ = loaded->engine->measure_copy_rate();
  return loaded;
}

void Session::do_load(const std::string& path) {
  const auto finish = [this](std::shared_ptr<const Loaded> loaded) {
    const std::lock_guard lock(mutex_);
    progress_ = {};
    if (loaded) loaded_ = std::move(loaded);
  };
  std::string restore;
  bool dropped = false;
  try {
    try {
      finish(open(path));
    } catch (const Error& error) {
      // Two models at once may be too much: the old one makes room.
      const auto old = loaded();
      if (error.status() != LAHAR_OUT_OF_MEMORY || old == nullptr) throw;
      restore = old->path;
      dropped = true;
      const std::lock_guard lock(mutex_);
      loaded_ = nullptr;
    }
    if (dropped) finish(open(path));
    tell(LoadedEvent{path});
  } catch (const std::exception& error) {
    finish(nullptr);
    const auto* known = dynamic_cast<const Error*>(&error);
    const bool cancelled = known != nullptr && known->status() == LAHAR_CANCELLED;
    tell(FailedEvent{model_name(path) + (cancelled ? ": loading was cancelled" : std::string(": ") + error.what()), true});
    if (dropped && path != restore) {
      load_cancelled_ = false;
      do_load(restore);
    }
  }
}

// ---- generating ----

void Session::generate(Request request) {
  stop_ = false;
  generating_ = true;
  enqueue([this, request = std::move(request)] { do_generate(request); });
}

void Session::stop() {
  stop_ = true;
  if (const auto current = loaded(); current != nullptr) current->engine->cancel();
}

void Session::do_generate(const Request& request) {
  const auto current = loaded();
  try {
    if (current == nullptr) throw std::runtime_error("there is no model");
    GenerateOptions options;
    options.sampling = request.sampling;
    options.max_tokens = request.max_tokens;
    options.reply_tokens = request.begun;
    options.on_token = [this](const Token& token) {
      TokenEvent event{{token.id, std::string(token.text), token.logprob, token.entropy, {}}, now(), token.position};
      for (const lahar_alternative& a : token.alternatives) event.token.alternatives.push_back({a.id, a.logprob});
      tell(std::move(event));
      return !stop_;
    };
    Reply reply;
    if (!stop_) reply = current->engine->chat(request.messages, options);
    else reply.reason = LAHAR_STOP_CANCELLED;
    generating_ = false;
    tell(DoneEvent{std::move(reply)});
  } catch (const std::exception& error) {
    generating_ = false;
    tell(FailedEvent{error.what()});
  }
}

void Session::set_time_slice(float milliseconds) {
  time_slice_ = milliseconds;
  if (const auto current = loaded(); current != nullptr) current->engine->set_time_slice(milliseconds);
}

std::string Session::piece(int32_t before, int32_t id) const {
  const auto current = loaded();
  if (current == nullptr || id < 0) return {};
  try {
    if (before < 0) return current->model->detokenize(std::vector<int32_t>{id});
    const std::string head = current->model->detokenize(std::vector<int32_t>{before});
    const std::string both = current->model->detokenize(std::vector<int32_t>{before, id});
    return both.starts_with(head) ? both.substr(head.size()) : both;
  } catch (const Error&) { return {}; }
}

}  // namespace lahar::demo
