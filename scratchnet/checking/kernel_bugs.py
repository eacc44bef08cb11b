"""The catalogue of bugs, continued: kernels, engines and commands. In `bugs` stands how to read it.

A kernel that is wrong at its edges, in what its tiles leave over, is right in most of its numbers.
"""

CATALOGUE = """
[tiled mlp: kernels/loops.py]
Tiled, the rows left over are forgotten
    - for i in range(m):
    -         for k in range(K - K % 4
    + for i in range(m - m % 4):
    +         for k in range(K - K % 4
Tiled, the steps left over are forgotten
    - for k in range(K - K % 4 if
    + for k in range(K if
Tiled, a product is taken twice, its neighbour never
    - C[i + 3, j] += a30 * b0 + a31 * b1 + a32 * b2 + a33 * b3
    + C[i + 3, j] += a30 * b0 + a31 * b1 + a32 * b2 + a32 * b3

[simd mlp: kernels/simd.py]
SIMD, the second block of a long sum overwrites the first
    - more = add or k > 0
    + more = add
SIMD, the steps left over are forgotten
    - for _ in range(depth % 4):
    + for _ in range(0):
SIMD, the second tile begins with the first row again
    - left, product = shifted(left, ROWS, 0), shifted(product, ROWS, 0)
    + product = shifted(product, ROWS, 0)

[sparse mlp: kernels/sparse.py]
Sparse, each 64 terms overwrite those before
    - rest = at(A, 0, k), right, at(C, 0, j), m, width, k > 0
    + rest = at(A, 0, k), right, at(C, 0, j), m, width, False
Sparse, a vector's marks overwrite those before
    - bits[k // WORD, i] |= found << np.uint64(k % WORD)
    + bits[k // WORD, i] = found << np.uint64(k % WORD)
Sparse, the pixel beside is multiplied
    - tile = multiply_add(tile, a, k * left_step,
    + tile = multiply_add(tile, a, (k ^ 1) * left_step,

[fused mlp: kernels/fused.py]
Fused, only the first layer's bias is added
    - add_bias(b, z)
    -             if k < last:
    + pass
    +             if k < last:
Fused, ReLU lets every gradient through
    - da[i, j] = 0 if a[i, j] <= 0 else da[i, j]
    + da[i, j] = 0 if a[i, j] < 0 else da[i, j]
Fused, weight decay is forgotten
    - v[n] = momentum * v[n] + weight_decay * p[n]
    + v[n] = momentum * v[n]
Fused, the mean over a smaller last batch is taken over 32
    - dlogits[i, j] = (p - (j == label)) / B
    + dlogits[i, j] = (p - (j == label)) / 32
Fused, the gradient flows through updated weights
    - product(dz, W.T, da, False)  # with the old W: it changes below
    -                 relu_backward(da, a)
    + pass
    - add_rows(dz, b)
    -             if momentum:
    -                 for n in range(len(p)):
    -                     p[n] -= lr * v[n]
    + add_rows(dz, b)
    +             if momentum:
    +                 for n in range(len(p)):
    +                     p[n] -= lr * v[n]
    +             if k > 0:
    +                 product(dz, weights(parameters, sizes, k)[0].T, da, False)
    +                 relu_backward(da, a)

[fused mlp: training/epoch.py]
Fused, the learning rate does not decay
    - optimiser.lr = learning_rate(config, epoch)
    -         if config.augment:
    -             engine.show(
    + if config.augment:
    +             engine.show(
Fused, every epoch is shown the images of the first
    - engine.show(augmented(train.images, config.seed, epoch))
    + engine.show(augmented(train.images, config.seed, 1))

[layered mlp: training/epoch.py]
The step comes before its gradient
    - network.backward(dlogits)
    -         optimiser.step()
    + optimiser.step()
    +         network.backward(dlogits)
The learning rate decays before the first epoch
    - return config.lr * config.lr_decay ** (epoch - 1)
    + return config.lr * config.lr_decay**epoch
Images are augmented once, not in each epoch
    - x = data.to_unit_interval(augmented(train.images, config.seed, epoch))
    + x = data.to_unit_interval(augmented(train.images, config.seed, 1))

[layered mlp: train.py]
Momentum and weight decay are exchanged
    - SGD(network, config.lr, config.momentum, config.weight_decay)
    + SGD(network, config.lr, config.weight_decay, config.momentum)
The weight decay asked for never arrives
    - SGD(network, config.lr, config.momentum, config.weight_decay)
    + SGD(network, config.lr, config.momentum)
The validation images are trained on
    - config, train, validation = hold_out_validation(dataset, config)
    + config, train, validation = hold_out_validation(dataset, config)
    +     train = dataset.train

[trained gan: training/epoch.py]
The generator is given the noise of the discriminator's step
    - gan.generator_step(noise[1])
    + gan.generator_step(noise[0])
Real images are scaled to 0..1, fakes to -1..1
    - x = to_tanh_range(images)  # (N,784)
    + x = data.to_unit_interval(images)

[trained gan: gan.py]
The learning rates of both networks are exchanged
    - rates = config.lr, config.discriminator_lr
    + rates = config.discriminator_lr, config.lr
Adam is left its usual momentum of 0.9
    - GAN(generator, discriminator, *rates, update=adam_update)
    + GAN(generator, discriminator, *rates, (0.9, 0.999), update=adam_update)
"""
