import Foundation
import NIOCore
import Platform

/// Reads the tokens of an answer from its own bytes, whatever the agent claims (SEC-85).
///
/// `message_start` tells the input, `message_delta` the output so far (both cumulative); what the endpoint never reported,
/// because the stream was cut or the endpoint is silent about it, is estimated from the text that passed.
struct StreamUsage: Sendable {
    private(set) var usage = TokenUsage()
    /// The endpoint has reported its input, its final output.
    private(set) var hasInput = false
    private(set) var hasOutput = false
    private(set) var finished = false
    /// The stream carried an error event.
    private(set) var errorType: String?
    /// Bytes of generated content, JSON and all, beyond what an empty delta costs.
    private var contentBytes = 0
    private var line: [UInt8] = []
    private var lineBytes = 0
    private let streams: Bool
    /// A line longer than this is counted but not read.
    private static let maxLine = 1 << 20
    /// `data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":""}}`
    private static let emptyDelta = 86

    init(streams: Bool) { self.streams = streams }

    /// Output tokens so far: as reported, else about four bytes a token.
    var outputTokens: Int { hasOutput ? usage.outputTokens : max(usage.outputTokens, contentBytes / 4) }
    /// What to book when the answer ends now; `estimatedInput` where the endpoint accepted the request and never said.
    func booked(estimatedInput: Int) -> TokenUsage {
        var booked = usage
        if !hasInput { booked.inputTokens = estimatedInput }
        booked.outputTokens = outputTokens
        return booked
    }

    mutating func take(_ chunk: ByteBuffer) {
        guard streams else {
            if lineBytes + chunk.readableBytes <= 32 * Self.maxLine { line += chunk.readableBytesView }
            lineBytes += chunk.readableBytes
            return
        }
        for byte in chunk.readableBytesView {
            if byte == UInt8(ascii: "\n") {
                endLine()
            } else {
                lineBytes += 1
                if line.count < Self.maxLine { line.append(byte) }
            }
        }
    }

    /// A whole answer (`stream: false`) is read at its end.
    mutating func end() {
        if streams {
            endLine()
        } else if let message = try? JSON.value(Data(line)) {
            read(message["usage"])
            hasOutput = hasInput
            finished = message["type"]?.string == "message"
        }
    }

    private mutating func endLine() {
        defer { line.removeAll(keepingCapacity: true); lineBytes = 0 }
        guard line.starts(with: "data:".utf8) else { return }
        let isDelta = Self.contains(line, "\"content_block_delta\"")
        if isDelta, !Self.contains(line, "\"usage\"") {
            contentBytes += max(1, lineBytes - Self.emptyDelta)
            return
        }
        guard let event = try? JSON.value(Data(line.dropFirst(5))) else { return }
        switch event["type"]?.string {
        case "message_start": read(event["message"]?["usage"])
        case "message_delta":
            read(event["usage"])
            if event["usage"]?["output_tokens"]?.int != nil { hasOutput = true }
        case "message_stop": finished = true
        case "content_block_delta": contentBytes += max(1, lineBytes - Self.emptyDelta)
        case "error": errorType = event["error"]?["type"]?.string ?? "api_error"
        default: break
        }
    }

    private mutating func read(_ reported: Value?) {
        guard let reported else { return }
        if let tokens = reported["input_tokens"]?.int { usage.inputTokens = max(0, tokens); hasInput = true }
        if let tokens = reported["output_tokens"]?.int { usage.outputTokens = max(0, tokens) }
        if let tokens = reported["cache_read_input_tokens"]?.int { usage.cacheReadTokens = max(0, tokens) }
        if let tokens = reported["cache_creation_input_tokens"]?.int { usage.cacheWriteTokens = max(0, tokens) }
    }

    /// Whether the text occurs within the first bytes, where event types stand.
    private static func contains(_ line: [UInt8], _ text: StaticString) -> Bool {
        let count = text.utf8CodeUnitCount, end = min(line.count, 256) - count
        guard end >= 0 else { return false }
        return text.withUTF8Buffer { needle in
            line.withUnsafeBufferPointer { hay in
                (0...end).contains { start in hay[start] == needle[0] && (1..<count).allSatisfy { hay[start + $0] == needle[$0] } }
            }
        }
    }
}
