// @CLASS@Stages.kt: written by edgekit. Runs a network with early exits stage by stage, until one is sure enough.
//
//   val stages = @CLASS@Stages { file -> /* a StageRunner of this file */ }
//   val answer = stages.run(mapOf("x" to bytes))    // direct ByteBuffers in native order, as the files lay tensors out
//
// A host that schedules by itself calls step(...) for one stage at a time and keeps `tensors` between.

package @NAME@

import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.math.exp
import kotlin.math.ln
@IMPORTS@
/** One stage's file in a runtime: runs it once, from inputs to outputs by name. */
interface StageRunner {
    fun run(inputs: Map<String, ByteBuffer>, outputs: Map<String, ByteBuffer>)
}
@ADAPTER@
class StageTensor(val name: String, val type: String, val bytes: Int, val scale: Float, val zeroPoint: Int)

class Stage(
    val file: String,
    val inputs: List<StageTensor>,
    val outputs: List<StageTensor>,
    val answers: Map<String, String>,
    val logits: Int,
    val temperature: Float,
    val threshold: Float?
)

/** The network's outputs by name, and which stage answered. */
class StagedAnswer(val outputs: Map<String, ByteBuffer>, val stage: Int)

class @CLASS@Stages(private val open: (file: String) -> StageRunner) {
    private val runners = HashMap<Int, StageRunner>()

    /** One sample through as many stages as it needs. */
    fun run(inputs: Map<String, ByteBuffer>): StagedAnswer {
        val tensors = HashMap(inputs)
        val outputs = HashMap<String, ByteBuffer>()
        val answered = stages.indices.first { step(it, tensors, outputs) }
        return StagedAnswer(outputs, answered)
    }

    /** One stage; true where it is sure enough, or the last. What it gives is added to `tensors` and `outputs`. */
    fun step(index: Int, tensors: MutableMap<String, ByteBuffer>, outputs: MutableMap<String, ByteBuffer>): Boolean {
        val stage = stages[index]
        val given = stage.inputs.map { it.name to tensors.getValue(it.name).rewound() }.toMap()
        val taken = stage.outputs.map { it.name to buffer(it.bytes) }.toMap()
        runners.getOrPut(index) { open(stage.file) }.run(given, taken)
        for ((name, bytes) in taken) tensors[name] = bytes.rewound()
        for ((output, tensor) in stage.answers) outputs[output] = tensors.getValue(tensor)
        val threshold = stage.threshold ?: return true
        val logits = stage.outputs[stage.logits]
        return certainty(real(logits, tensors.getValue(logits.name)), stage.temperature) > threshold
    }

    /** What a stored tensor stands for. */
    fun real(tensor: StageTensor, bytes: ByteBuffer): FloatArray = when (tensor.type) {
        "float32" -> FloatArray(tensor.bytes / 4) { bytes.getFloat(4 * it) }
        "int16" -> FloatArray(tensor.bytes / 2) { (bytes.getShort(2 * it) - tensor.zeroPoint) * tensor.scale }
        "uint8" -> FloatArray(tensor.bytes) { ((bytes.get(it).toInt() and 0xFF) - tensor.zeroPoint) * tensor.scale }
        else -> FloatArray(tensor.bytes) { (bytes.get(it) - tensor.zeroPoint) * tensor.scale }
    }

    private fun certainty(logits: FloatArray, temperature: Float): Float {
        val scaled = FloatArray(logits.size) { logits[it] * (1f / temperature) }
        var top = Float.NEGATIVE_INFINITY
        for (value in scaled) if (value > top) top = value
        var total = 0f
        for (value in scaled) total += exp(value - top)
        val p = FloatArray(scaled.size) { exp(scaled[it] - top) / total }
        if (SCORE == "entropy") {
            var sum = 0.0
            for (i in p.indices) sum += p[i].toDouble() * (scaled[i] - top - ln(total))
            return (1.0 + sum / ln(p.size.toDouble())).toFloat()
        }
        p.sort()
        return if (SCORE == "margin") p[p.size - 1] - p[p.size - 2] else p[p.size - 1]
    }

    private fun buffer(size: Int) = ByteBuffer.allocateDirect(size).order(ByteOrder.nativeOrder())

    private fun ByteBuffer.rewound(): ByteBuffer {
        rewind()
        return this
    }

    companion object {
@TABLES@    }
}
