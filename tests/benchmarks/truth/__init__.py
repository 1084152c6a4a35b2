"""Truth: models with injected gradient losses, labelled by autograd, against what gradlint says of them."""
