"""Adam in one kernel a variable."""

from __future__ import annotations

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("gan_core")
class Adam(keras.optimizers.Adam):
    """Adam (Kingma & Ba 2015, section 2, last paragraph), as Keras has it, computed in one pass.

    Keras 3 spells the update out in a dozen operations, each of which reads and writes the whole
    variable; TensorFlow's own kernel does the same arithmetic at once. Arguments, variables and
    checkpoints are those of `keras.optimizers.Adam`, and sparse gradients or `amsgrad` go to it.
    """

    def update_step(
        self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor
    ) -> None:
        """Updates one variable and its two moments in place."""
        if self.amsgrad or isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable, learning_rate)
            return
        index = self._get_variable_index(variable)
        count = tf.cast(self.iterations.value + 1, variable.dtype)
        beta_1, beta_2, epsilon = (
            tf.constant(number, variable.dtype)
            for number in (self.beta_1, self.beta_2, self.epsilon)
        )
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.pow(beta_1, count),
            beta2_power=tf.pow(beta_2, count),
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=beta_1,
            beta2=beta_2,
            epsilon=epsilon,
            grad=tf.cast(gradient, variable.dtype),
        )
