import Foundation
import NIOCore
import Platform

/// What the gateway must know of a Messages API request, read in one pass over its bytes without decoding it:
/// bodies are up to 32 MiB and pass through unchanged.
///
/// The top level is read strictly (no repeated name, no escaped name), since the upstream must see the same `model`
/// that was checked here.
public struct ModelRequest: Sendable, Equatable {
    public var model: String
    public var maxTokens: Int
    public var streams: Bool
    /// Input tokens, roughly: a third of the bytes, a sixtieth of what looks like base64 files.
    public var estimatedInputTokens: Int
    /// Where the model's name (with its quotes) stands in the body.
    let modelRange: Range<Int>

    /// - Throws: ``ModelError`` with status 400 and a sentence for the developer of the engine.
    public init(_ body: ByteBuffer, operation: ModelCall.Operation) throws(ModelError) {
        var scan = OutlineScan(body.readableBytesView)
        guard scan.readObject() else {
            throw ModelError(status: 400, message: "The request body is not a JSON object, or it is nested deeper than 100 levels.")
        }
        if let name = scan.repeated { throw ModelError(status: 400, message: "The field `\(name)` appears twice or has an escaped name.") }
        func decoded<T: Decodable>(_ type: T.Type, _ name: String) -> T? {
            guard let range = scan.fields[name] else { return nil }
            return try? JSON.decode(
                T.self, from: Data(body.readableBytesView[body.readerIndex + range.lowerBound..<body.readerIndex + range.upperBound]))
        }
        guard let model = decoded(String.self, "model"), !model.isEmpty, let range = scan.fields["model"] else {
            throw ModelError(status: 400, message: "model: a string is required.")
        }
        self.model = model
        modelRange = range
        streams = decoded(Bool.self, "stream") ?? false
        if operation == .messages {
            guard let max = decoded(Int.self, "max_tokens"), max > 0 else {
                throw ModelError(status: 400, message: "max_tokens: a positive integer is required.")
            }
            maxTokens = max
        } else {
            maxTokens = 0
        }
        estimatedInputTokens = (body.readableBytes - scan.fileBytes) / 3 + scan.fileBytes / 60 + 1
    }

    /// The body with another model.
    public func body(_ body: ByteBuffer, withModel model: String) -> ByteBuffer {
        guard let name = try? JSON.data(.string(model)) else { return body }
        var copy = ByteBuffer()
        copy.reserveCapacity(body.readableBytes + name.count)
        let view = body.readableBytesView
        copy.writeBytes(view[view.startIndex..<view.startIndex + modelRange.lowerBound])
        copy.writeBytes(name)
        copy.writeBytes(view[view.startIndex + modelRange.upperBound..<view.endIndex])
        return copy
    }
}

/// Finds the top-level fields of a JSON object and checks that brackets and strings close. Values are not validated: the
/// endpoint does that. Iterative, so that depth costs no stack.
private struct OutlineScan {
    private let bytes: ByteBufferView
    private var position: Int
    private(set) var fields: [String: Range<Int>] = [:]
    private(set) var repeated: String?
    /// Bytes in strings over 16 KiB of base64 only.
    private(set) var fileBytes = 0

    init(_ bytes: ByteBufferView) { self.bytes = bytes; position = bytes.startIndex }

    mutating func readObject() -> Bool {
        skipSpace()
        guard take(UInt8(ascii: "{")) else { return false }
        skipSpace()
        if take(UInt8(ascii: "}")) { return atEnd() }
        while true {
            skipSpace()
            let start = position
            guard let escaped = skipString() else { return false }
            let name = String(decoding: bytes[start + 1..<position - 1], as: UTF8.self)
            if escaped { repeated = name }
            skipSpace()
            guard take(UInt8(ascii: ":")) else { return false }
            skipSpace()
            let valueStart = position
            guard skipValue() else { return false }
            let range = valueStart - bytes.startIndex..<position - bytes.startIndex
            if fields.updateValue(range, forKey: name) != nil { repeated = name }
            skipSpace()
            if take(UInt8(ascii: ",")) { continue }
            guard take(UInt8(ascii: "}")) else { return false }
            return atEnd()
        }
    }

    private mutating func atEnd() -> Bool { skipSpace(); return position == bytes.endIndex }
    private mutating func take(_ byte: UInt8) -> Bool {
        guard position < bytes.endIndex, bytes[position] == byte else { return false }
        position += 1
        return true
    }
    private mutating func skipSpace() {
        while position < bytes.endIndex, [0x20, 0x0a, 0x0d, 0x09].contains(bytes[position]) { position += 1 }
    }

    /// Skips a string; says whether it held an escape; nil when it does not close.
    private mutating func skipString() -> Bool? {
        guard take(UInt8(ascii: "\"")) else { return nil }
        let start = position
        var escaped = false, base64 = true
        let end = bytes.endIndex
        while position < end {
            let byte = bytes[position]
            position += 1
            if byte == UInt8(ascii: "\"") {
                if base64, position - start > 16_384 { fileBytes += position - start - 1 }
                return escaped
            }
            if byte == UInt8(ascii: "\\") {
                escaped = true; base64 = false; position += 1
            } else if byte <= UInt8(ascii: " ") || byte == UInt8(ascii: ",") || byte == UInt8(ascii: ".") {
                base64 = false
            }
        }
        return nil
    }

    private mutating func skipValue() -> Bool {
        var closers: [UInt8] = []
        repeat {
            skipSpace()
            guard position < bytes.endIndex else { return false }
            switch bytes[position] {
            case UInt8(ascii: "\""): guard skipString() != nil else { return false }
            case UInt8(ascii: "{"): closers.append(UInt8(ascii: "}")); position += 1
            case UInt8(ascii: "["): closers.append(UInt8(ascii: "]")); position += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                guard closers.popLast() == bytes[position] else { return false }
                position += 1
            case UInt8(ascii: ","), UInt8(ascii: ":"):
                guard !closers.isEmpty else { return false }
                position += 1
            default:
                let start = position
                while position < bytes.endIndex, !" \n\r\t,:{}[]\"".utf8.contains(bytes[position]) { position += 1 }
                guard position > start else { return false }
            }
            guard closers.count <= 100 else { return false }
        } while !closers.isEmpty
        return true
    }
}
