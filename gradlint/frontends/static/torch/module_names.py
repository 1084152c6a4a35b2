"""The public names of modules: what tells an attribute that a layer of torch cannot have from one that it may."""

from __future__ import annotations

OF_EVERY_MODULE = frozenset(
    """
    T_destination add_module apply bfloat16 buffers call_super_init children compile cpu cuda double
    dump_patches eval extra_repr float forward get_buffer get_extra_state get_parameter get_submodule half ipu
    load_state_dict modules mtia named_buffers named_children named_modules named_parameters parameters
    register_backward_hook register_buffer register_forward_hook register_forward_pre_hook
    register_full_backward_hook register_full_backward_pre_hook register_load_state_dict_post_hook
    register_load_state_dict_pre_hook register_module register_parameter register_state_dict_post_hook
    register_state_dict_pre_hook requires_grad_ set_extra_state set_submodule share_memory state_dict to
    to_empty train training type xpu zero_grad
    """.split()
)
"""What every `nn.Module` has."""

OF_SOME_LAYER = frozenset(
    """
    affine align_corners all_weights alpha append approximate batch_first beta bias bias_k bias_v bidirectional
    blank ceil_mode check_forward_args check_hidden_size check_input clear cls_to_become convert_sync_batchnorm
    copy count_include_pad cutoffs dilation dim div_value downscale_factor dropout elementwise_affine
    embedding_dim end_dim eps extend flatten_parameters freeze from_pretrained fromkeys full gather
    generate_square_subsequent_mask get get_expected_cell_size get_expected_hidden_size groups
    has_uninitialized_params head head_bias hidden_size ignore_index in1_features in2_features in_features
    include_last_offset initialize_parameters inplace input_size insert items k keepdim kernel_size keys
    label_smoothing lambd log_input log_prob lower margin max_norm max_val merge_masks min_val mode n_classes
    name negative_slope nonlinearity norm norm_type normalized_shape num_channels num_classes num_embeddings
    num_groups num_layers num_parameters options out_features output_ratio output_size p padding padding_idx
    parallel_apply permute_hidden pop popitem predict proj_size recompute_scale_factor reduction replicate
    reset_parameters reset_running_stats return_indices scale_factor scale_grad_by_freq scatter setdefault size
    sparse start_dim stride swap tail threshold unflattened_size update upper upscale_factor value values weight
    weight_hh weight_ih zero_infinity
    """.split()
)
"""What further names some class of torch.nn has."""


def may_have(name: str) -> bool:
    """Whether some class of torch.nn may have an attribute, those apart that its own constructor gave it."""
    return name.startswith("_") or name in OF_EVERY_MODULE or name in OF_SOME_LAYER
