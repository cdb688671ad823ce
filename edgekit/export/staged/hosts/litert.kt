
/** A stage's file in LiteRT; one instance for one thread. */
class LiteRtStage(model: ByteBuffer) : StageRunner {
    private val interpreter = Interpreter(model)

    override fun run(inputs: Map<String, ByteBuffer>, outputs: Map<String, ByteBuffer>) =
        interpreter.runSignature(inputs, outputs)
}

