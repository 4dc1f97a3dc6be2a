// DeepSeek V3 and R1, and Kimi K2, in Hugging Face folders: as V2, with sigmoid routing that a bias balances.
#include "arch/deepseek.h"

namespace lahar::arch {

namespace {

constexpr std::string_view kHf[] = {"deepseek_v3", "kimi_k2"};

void finish(Config& c, MoeSpec& moe) {
  moe.score = ops::RouterScore::kSigmoid;
  moe.group_score = ops::GroupScore::kSumOfTwo;
  moe.selection_bias = true;
  moe.normalize = c.flag({"norm_topk_prob", ""}, true);
}

void read(Config& c, ModelSpec& spec) {
  read_deepseek(c, spec,
                {.finish = finish,
                 .dense_layers = 3,
                 .shared_experts = 1,
                 .experts = {.experts = {"n_routed_experts", "expert_count"},
                             .default_experts = 256,
                             .default_chosen = 8,
                             .default_width = 2048},
                 .router = {.normalize = true, .groups = 8, .groups_chosen = 4, .scale = 2.5}});
}

}  // namespace

const Architecture kDeepSeekV3{"deepseek_v3", {}, kHf, read, nullptr, deepseek_roles};

}  // namespace lahar::arch
