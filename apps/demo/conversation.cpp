#include "demo/conversation.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace lahar::demo {
namespace {

using Json = nlohmann::json;
constexpr int kDeepest = 10000;  // messages on a path

Json write(const Node& node) {
  Json children = Json::array();
  for (const auto& child : node.children) children.push_back(write(*child));
  return {{"role", node.role}, {"content", node.content}, {"chosen", node.chosen}, {"children", std::move(children)}};
}

// Throws Json's exceptions.
std::unique_ptr<Node> read(const Json& json, Node* parent, int depth) {
  if (depth > kDeepest) throw std::runtime_error("it is nested too deep");
  auto node = std::make_unique<Node>();
  node->parent = parent;
  node->role = json.at("role").get<std::string>();
  node->content = json.at("content").get<std::string>();
  for (const Json& child : json.at("children")) node->children.push_back(read(child, node.get(), depth + 1));
  node->chosen = json.at("chosen").get<size_t>();
  if (node->chosen >= std::max<size_t>(node->children.size(), 1))
    throw std::runtime_error("a branch is chosen that is not there");
  return node;
}

}  // namespace

Conversation::Conversation() { clear(); }

void Conversation::clear() { root_ = std::make_unique<Node>(); }

std::vector<Node*> Conversation::path() const {
  std::vector<Node*> path;
  for (Node* node = root_.get(); !node->children.empty();) {
    node = node->children[node->chosen].get();
    path.push_back(node);
  }
  return path;
}

Node* Conversation::last() const {
  Node* node = root_.get();
  while (!node->children.empty()) node = node->children[node->chosen].get();
  return node == root_.get() ? nullptr : node;
}

Node* Conversation::append(std::string role, std::string content) {
  Node* const parent = last();
  return branch(parent != nullptr ? parent : root_.get(), std::move(role), std::move(content));
}

Node* Conversation::branch(Node* parent, std::string role, std::string content) {
  auto node = std::make_unique<Node>();
  node->role = std::move(role);
  node->content = std::move(content);
  node->parent = parent;
  parent->children.push_back(std::move(node));
  parent->chosen = parent->children.size() - 1;
  return parent->children.back().get();
}

void Conversation::turn(Node* node, int step) {
  Node& parent = *node->parent;
  const auto last = static_cast<int64_t>(parent.children.size()) - 1;
  parent.chosen = static_cast<size_t>(std::clamp<int64_t>(static_cast<int64_t>(parent.chosen) + step, 0, last));
}

void Conversation::remove(Node* node) {
  Node& parent = *node->parent;
  std::erase_if(parent.children, [&](const auto& child) { return child.get() == node; });
  parent.chosen = parent.children.empty() ? 0 : std::min(parent.chosen, parent.children.size() - 1);
}

std::vector<Message> Conversation::messages(const Node* last) const {
  std::vector<Message> messages;
  if (!system_prompt.empty()) messages.push_back({"system", system_prompt});
  for (const Node* node : path()) {
    messages.push_back({node->role, node->content});
    if (node == last) break;
  }
  return messages;
}

std::string Conversation::to_json() const {
  Json children = Json::array();
  for (const auto& child : root_->children) children.push_back(write(*child));
  const Json json = {{"format", "lahar-conversation"},
                     {"version", 1},
                     {"system", system_prompt},
                     {"chosen", root_->chosen},
                     {"messages", std::move(children)}};
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

bool Conversation::from_json(std::string_view text, std::string* error) {
  try {
    const Json json = Json::parse(text);
    if (json.at("format") != "lahar-conversation") throw std::runtime_error("its format is another one");
    const Json root = {{"role", ""}, {"content", ""}, {"chosen", json.at("chosen")}, {"children", json.at("messages")}};
    auto read_root = read(root, nullptr, 0);
    std::string system = json.at("system").get<std::string>();
    root_ = std::move(read_root);
    system_prompt = std::move(system);
    return true;
  } catch (const std::exception& e) {
    *error = std::string("this is no conversation that was saved here: ") + e.what();
    return false;
  }
}

}  // namespace lahar::demo
