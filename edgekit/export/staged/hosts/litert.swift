
    /// A stage's file in LiteRT (the pod TensorFlowLiteSwift); one runner for one thread.
    static func liteRt(path: String, stage: Stage) throws -> Runner {
        let interpreter = try Interpreter(modelPath: path)
        try interpreter.allocateTensors()
        return { inputs in
            for (index, tensor) in stage.inputs.enumerated() {
                guard let bytes = inputs[tensor.name] else { throw Failure.missing(tensor.name) }
                try interpreter.copy(bytes, toInputAt: index)
            }
            try interpreter.invoke()
            var outputs: [String: Data] = [:]
            for (index, tensor) in stage.outputs.enumerated() {
                outputs[tensor.name] = try interpreter.output(at: index).data
            }
            return outputs
        }
    }
