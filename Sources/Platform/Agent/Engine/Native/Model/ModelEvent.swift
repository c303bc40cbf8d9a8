import Foundation
import Platform

/// One event of a streamed message (https://docs.anthropic.com/en/docs/build-with-claude/streaming). Kinds that we do not know are
/// skipped, as the API asks of its clients.
enum ModelEvent {
    case start(model: String?, ModelUsage)
    case blockStart(Int, Value)
    case blockDelta(Int, Delta)
    case blockStop(Int)
    case messageDelta(stopReason: String?, ModelUsage?)
    case stop
    case error(type: String, message: String)
    case ignored

    enum Delta { case text(String), thinking(String), signature(String), json(String), ignored }
    struct Malformed: Error {}

    private struct Wire: Decodable {
        struct Head: Decodable { var model: String?; var usage: ModelUsage? }
        struct Part: Decodable {
            var type: String?
            var text: String?
            var thinking: String?
            var signature: String?
            var partial_json: String?
            var stop_reason: String?
        }
        /// `code` is the gateway's own addition: a problem slug.
        struct Failure: Decodable { var type: String?; var message: String?; var code: String? }
        var type: String
        var index: Int?
        var message: Head?
        var content_block: Value?
        var delta: Part?
        var usage: ModelUsage?
        var error: Failure?
    }

    init(_ event: ServerSentEvents.Event, with decoder: JSONDecoder) throws {
        guard let wire = try? decoder.decode(Wire.self, from: Data(event.data)) else { throw Malformed() }
        switch wire.type {
        case "message_start": self = .start(model: wire.message?.model, wire.message?.usage ?? ModelUsage())
        case "content_block_start":
            guard let index = wire.index, let block = wire.content_block, block.object != nil else { throw Malformed() }
            self = .blockStart(index, block)
        case "content_block_delta":
            guard let index = wire.index, let part = wire.delta else { throw Malformed() }
            self = .blockDelta(index, Self.delta(part))
        case "content_block_stop":
            guard let index = wire.index else { throw Malformed() }
            self = .blockStop(index)
        case "message_delta": self = .messageDelta(stopReason: wire.delta?.stop_reason, wire.usage)
        case "message_stop": self = .stop
        case "error": self = .error(type: wire.error?.code ?? wire.error?.type ?? "api_error", message: wire.error?.message ?? "")
        default: self = .ignored
        }
    }

    private static func delta(_ part: Wire.Part) -> Delta {
        switch part.type {
        case "text_delta": .text(part.text ?? "")
        case "thinking_delta": .thinking(part.thinking ?? "")
        case "signature_delta": .signature(part.signature ?? "")
        case "input_json_delta": .json(part.partial_json ?? "")
        default: .ignored
        }
    }
}

/// Tokens of one model call as its stream reported them; for `/context` and automatic compaction only (what is billed is metered by the gateway).
struct ModelUsage: Codable, Sendable, Hashable {
    var input = 0
    var output = 0
    var cacheRead = 0
    var cacheWrite = 0
    /// What the context held when the call ended.
    var context: Int { input + output + cacheRead + cacheWrite }

    private enum CodingKeys: String, CodingKey {
        case input = "input_tokens"
        case output = "output_tokens"
        case cacheRead = "cache_read_input_tokens"
        case cacheWrite = "cache_creation_input_tokens"
    }
    init() {}
    init(from decoder: any Decoder) throws {
        let box = try decoder.container(keyedBy: CodingKeys.self)
        func count(_ key: CodingKeys) -> Int { max(0, (try? box.decodeIfPresent(Int.self, forKey: key)) ?? 0) }
        input = count(.input); output = count(.output); cacheRead = count(.cacheRead); cacheWrite = count(.cacheWrite)
    }

    /// Later reports of a stream are cumulative; some endpoints repeat the input counts there, some leave them out.
    mutating func update(_ later: ModelUsage) {
        input = max(input, later.input); output = max(output, later.output)
        cacheRead = max(cacheRead, later.cacheRead); cacheWrite = max(cacheWrite, later.cacheWrite)
    }
}
