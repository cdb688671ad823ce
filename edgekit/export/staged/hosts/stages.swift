// @CLASS@Stages.swift: written by edgekit. Runs a network with early exits stage by stage, until one is sure enough.
//
//   let stages = @CLASS@Stages { stage in @EXAMPLE@ }
//   let answer = try stages.run(["x": bytes])    // Data as the files lay tensors out
//
// A host that schedules by itself calls step(...) for one stage at a time and keeps `tensors` between.

import Foundation
@IMPORTS@
final class @CLASS@Stages {
    /// One stage's file in a runtime: runs it once, from inputs to outputs by name.
    typealias Runner = ([String: Data]) throws -> [String: Data]

    struct Tensor {
        let name: String
        let type: String
        let bytes: Int
        let scale: Float  // real = scale * (stored - zeroPoint); 0 where the tensor is not quantised
        let zeroPoint: Int
    }

    struct Stage {
        let file: String
        let inputs: [Tensor]  // in the file's order
        let outputs: [Tensor]
        let answers: [String: String]  // output of the network: output of this stage
        let logits: Int
        let temperature: Float
        let threshold: Float?  // nil: the last stage, which always answers
    }

    enum Failure: Error {
        case missing(String)
    }
@ADAPTER@
    private let open: (Stage) throws -> Runner
    private var runners: [Int: Runner] = [:]

    init(open: @escaping (Stage) throws -> Runner) {
        self.open = open
    }

    /// One sample through as many stages as it needs: the network's outputs by name, and which stage answered.
    func run(_ inputs: [String: Data]) throws -> (outputs: [String: Data], stage: Int) {
        var tensors = inputs
        var outputs: [String: Data] = [:]
        var index = 0
        while try !step(index, &tensors, &outputs) {
            index += 1
        }
        return (outputs, index)
    }

    /// One stage; true where it is sure enough, or the last. What it gives is added to `tensors` and `outputs`.
    func step(_ index: Int, _ tensors: inout [String: Data], _ outputs: inout [String: Data]) throws -> Bool {
        let stage = Self.stages[index]
        var given: [String: Data] = [:]
        for input in stage.inputs {
            guard let bytes = tensors[input.name], bytes.count == input.bytes else { throw Failure.missing(input.name) }
            given[input.name] = bytes
        }
        let runner = try runners[index] ?? open(stage)
        runners[index] = runner
        tensors.merge(try runner(given)) { _, new in new }
        for (output, tensor) in stage.answers {
            guard let bytes = tensors[tensor] else { throw Failure.missing(tensor) }
            outputs[output] = bytes
        }
        guard let threshold = stage.threshold else { return true }
        let logits = stage.outputs[stage.logits]
        guard let bytes = tensors[logits.name] else { throw Failure.missing(logits.name) }
        return certainty(real(logits, bytes), stage.temperature) > threshold
    }

    /// What a stored tensor stands for.
    func real(_ tensor: Tensor, _ bytes: Data) -> [Float] {
        func values<T>(_ type: T.Type, _ convert: (T) -> Float) -> [Float] {
            let count = bytes.count / MemoryLayout<T>.stride
            return bytes.withUnsafeBytes { raw in
                (0..<count).map { convert(raw.loadUnaligned(fromByteOffset: $0 * MemoryLayout<T>.stride, as: T.self)) }
            }
        }
        func scaled(_ stored: Int) -> Float { Float(stored - tensor.zeroPoint) * tensor.scale }
        switch tensor.type {
        case "float32": return values(Float.self) { $0 }
        case "int16": return values(Int16.self) { scaled(Int($0)) }
        case "uint8": return values(UInt8.self) { scaled(Int($0)) }
        default: return values(Int8.self) { scaled(Int($0)) }
        }
    }

    private func certainty(_ logits: [Float], _ temperature: Float) -> Float {
        let scaled = logits.map { $0 * (1 / temperature) }
        let top = scaled.max() ?? 0
        let total = scaled.reduce(Float(0)) { $0 + exp($1 - top) }
        let p = scaled.map { exp($0 - top) / total }
        if Self.score == "entropy" {
            let sum = zip(p, scaled).reduce(0.0) { $0 + Double($1.0) * Double($1.1 - top - log(total)) }
            return Float(1 + sum / log(Double(p.count)))
        }
        let ordered = p.sorted(by: >)
        return Self.score == "margin" ? ordered[0] - ordered[1] : ordered[0]
    }

@TABLES@}
