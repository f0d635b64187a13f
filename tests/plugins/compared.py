"""What the test of each *faithful* clause compares, by file and name.

A clause is not faithful by a setting that has the right value: its test compares what is done with
it, against numbers or formulas that the test writes itself. `test_cards.py` holds this table and
the cards together.
"""

from __future__ import annotations

COMPARED = {
    "tests/data/test_pixels.py": {
        "test_autoaugment_at_rotated_edges_and_everywhere": "pixels of AutoAugment alone, against "
        "Pillow's operations, all within one level",
        "test_held_out_pixels": "pixels of evaluation, against Pillow's resize and crop",
        "test_padded_crop_and_flip": "pixels of the padded crop and flip, exactly",
        "test_training_pixels": "pixels of whole training transforms, against Pillow's operations",
    },
    "tests/nets/test_order.py": {
        "test_global_order_is_falling_importance": "order of channels, against their L1 norms",
        "test_grouped_order_keeps_what_narrow_subnets_have": "channels of narrow nets before and "
        "after a sort, and their answers",
    },
    "tests/plugins/test_alphanet.py": {
        "test_a_clipped_gradient": "gradients and losses, against numpy",
        "test_blocks_begin_as_identities": "outputs of fresh blocks, against their shortcuts",
        "test_closed_forms": "divergences, against Pearson's, Hellinger's and Kullback's",
        "test_each_image_takes_the_greater": "losses and gradients, against autograd of the "
        "definition",
        "test_labels_for_the_largest": "losses, against logarithms",
        "test_the_gradient_is_the_definitions": "gradients, against autograd of the definition",
        "test_warm_up_then_one_cosine": "rates of a run, and its length",
    },
    "tests/plugins/test_attentivenas.py": {
        "test_blocks_begin_as_identities": "outputs of fresh blocks, against their shortcuts",
        "test_sizes_are_as_frequent_as_among_random_nets": "MACs of 4,000 nets, against the law of "
        "all 216",
        "test_the_chosen_is_best_or_worst_by_hand": "nets trained in a run, against losses of all "
        "candidates in numpy",
        "test_the_sandwich_and_its_sizes": "nets of a step",
        "test_warm_up_then_one_cosine": "rates of a run, and its length",
    },
    "tests/plugins/test_basics.py": {
        "test_a_warm_up_begins_at_nothing": "rates of a warm-up, step by step",
        "test_cosine": "rates of all steps",
        "test_frozen_loss": "losses, against logarithms",
        "test_inplace_gradient_reaches_the_learner_only": "gradients of teacher and learner",
        "test_inplace_hard_for_the_largest": "losses, against logarithms",
        "test_inplace_soft_for_the_others": "losses, against logarithms",
        "test_inplace_temperature": "losses, against logarithms",
        "test_largest_alone": "nets drawn in a run",
    },
    "tests/plugins/test_bignas.py": {
        "test_each_random_net_has_its_own_resolution": "resolutions drawn in 20 steps",
        "test_order_and_regularization": "nets of a step",
        "test_port_rate": "rates of a run, against powers of gamma",
        "test_rate_falls_then_stays": "rates of a run, against powers of gamma",
    },
    "tests/plugins/test_compofa.py": {
        "test_counts": "numbers of subnets",
        "test_draws_are_coupled_and_repeat": "depths and ratios of the nets of a step",
        "test_published_coupling": "ratio of each depth",
        "test_published_phases": "phases a run is laid out in, and their lengths",
        "test_rates_of_a_whole_published_run": "rates of a run, against the published totals",
        "test_small_kernels_are_centre_crops_there": "weights of small kernels, and parameters",
        "test_the_published_net_and_its_243_subnets": "MACs, parameters, kernels and resolutions",
        "test_warmup_from_an_eighth": "rate of a warm-up's first step",
    },
    "tests/plugins/test_deps.py": {
        "test_additive_law": "shares of the rate, step by step",
        "test_as_the_paper_draws": "nets of a step",
        "test_draws": "nets of a step",
        "test_effective_rate_is_linear_then_jumps": "rates of the smaller nets, step by step",
        "test_epsilon": "shares of the rate, against the code's printed values",
        "test_exclude_largest": "nets drawn in 20 steps",
        "test_measure": "nets drawn, against draws by dimension and over architectures",
        "test_multipliers": "shares of the rate of each role",
        "test_ramp_before_or_after_the_switch": "step at which smaller nets join",
        "test_rate_of_the_largest_net": "rates of a run, against the code's printed values",
    },
    "tests/plugins/test_fairnas.py": {
        "test_blocks_are_dealt_independently": "pairs of choices in 3,000 nets, against their "
        "product",
        "test_each_choice_exactly_once_a_step": "kernels and ratios of each block in 1,000 steps",
        "test_learns_from_labels_alone": "losses, against logarithms",
        "test_one_cosine": "rates of all steps, and the length of a run",
    },
    "tests/plugins/test_nasvit.py": {
        "test_against_numpy": "merged gradients, against numpy",
        "test_no_conflict_no_change": "merged gradients, against their sum",
    },
    "tests/plugins/test_ofa.py": {
        "test_one_resolution_a_step": "resolutions drawn in 60 steps",
        "test_published_phases": "phases a run is laid out in, and their lengths",
        "test_rates_and_draws_of_a_whole_published_run": "rates and nets a step of every phase",
        "test_rates_at_the_ends_of_phases": "rates at the ends of warm-ups and phases",
        "test_total_epochs": "lengths of whole runs",
    },
    "tests/plugins/test_random_subnet.py": {
        "test_every_choice_is_as_likely": "choices of each block and stage in 3,000 nets, against "
        "equal parts",
        "test_learns_from_labels_alone": "losses, against logarithms",
        "test_one_cosine": "rates of all steps, and the length of a run",
        "test_one_random_net_in_every_step": "phases of a run and nets of a step",
    },
    "tests/plugins/test_spos.py": {
        "test_a_straight_fall": "rates of all steps, and the length of a run",
        "test_every_architecture_is_as_likely": "all 216 nets of a space in 10,800 steps, against "
        "equal parts",
        "test_learns_from_labels_alone": "losses, against logarithms",
        "test_one_path_in_every_step": "phases of a run and nets of a step",
    },
    "tests/plugins/test_steps.py": {
        "test_a_tenth_of_the_classifiers_inputs_is_dropped": "inputs of the classifier with and "
        "without dropout",
        "test_blocks_begin_as_identities_for_the_paper_and_not_for_the_port": "outputs of fresh "
        "blocks, against their shortcuts",
        "test_five_steps_at_the_published_rate": "weights after five steps in fp64, against "
        "the formulas of momentum, Nesterov and RMSProp",
        "test_gradients_are_summed_by_their_shares": "gradient of a step, against autograd net by "
        "net",
        "test_images_of_a_step_and_of_a_norm": "batches as cut, steps an epoch, images held out",
        "test_initialisation_is_torchs": "bounds and spread of fresh weights",
        "test_label_smoothing_of_a_tenth": "losses, against logarithms",
        "test_no_dropout_in_the_proxyless_recipe": "blocks of the network that draw noise",
        "test_proxyless_warm_up": "rates of a warm-up, step by step",
        "test_published_lengths": "steps of whole runs",
        "test_rates_of_a_whole_run": "rates of a run: cosine, least rate, ramp and its aim",
        "test_teachers_normalise_by_the_batch": "a teacher's answers in two batches",
    },
    "tests/plugins/test_whole_runs.py": {
        "test_coupled_phases_begin_at_rest": "momenta, channel order, nets and noise of a run",
        "test_delayed_shrinking_goes_on_with_its_momentum": "momenta, channel order, nets, noise "
        "and gradients of a run",
        "test_each_phase_of_progressive_shrinking_begins_at_rest": "momenta, channel order, nets "
        "and noise of a run",
        "test_the_sandwich_drops_out_of_the_largest_net_only": "nets and noise of a run",
    },
}
