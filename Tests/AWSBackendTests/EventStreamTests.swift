import Foundation
import Pace
import Testing

@testable import AWSBackend

@Suite("Event streams", .paced) struct EventStreamTests {
    /// One `chunk` carrying `{"type":"ping"}`: the design's vector, which botocore's decoder reads.
    private static let vector: [UInt8] = bytes(
        "0000007b0000004b0a2e96af0b3a6576656e742d747970650700056368756e6b0d3a636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e"
            + "0d3a6d6573736167652d747970650700056576656e747b226279746573223a2265794a306558426c496a6f6963476c755a794a39227da01f56c4")
    private static func bytes(_ hex: String) -> [UInt8] {
        var bytes: [UInt8] = [], rest = Substring(hex)
        while !rest.isEmpty { bytes.append(UInt8(rest.prefix(2), radix: 16)!); rest = rest.dropFirst(2) }
        return bytes
    }
    private static func word(_ value: UInt32) -> [UInt8] { [UInt8(value >> 24), UInt8(value >> 16 & 255), UInt8(value >> 8 & 255), UInt8(value & 255)] }
    private static func frame(headers: [UInt8], payload: [UInt8] = []) -> [UInt8] {
        let prelude = word(UInt32(16 + headers.count + payload.count)) + word(UInt32(headers.count))
        let message = prelude + word(CRC32.of(prelude)) + headers + payload
        return message + word(CRC32.of(message))
    }

    @Test("the design's frame is read, wherever it is split") func everySplit() throws {
        for split in 0...Self.vector.count {
            var decoder = EventStreamDecoder()
            var messages = try decoder.feed(Self.vector[..<split])
            messages += try decoder.feed(Self.vector[split...])
            try decoder.end()
            #expect(messages.count == 1 && messages[0].headers[":event-type"] == "chunk" && messages[0].messageType == "event")
            #expect(messages[0].payload == Data(#"{"bytes":"eyJ0eXBlIjoicGluZyJ9"}"#.utf8))
        }
    }

    @Test("frames that come byte by byte, many in a row, are read in order") func byteByByte() throws {
        var decoder = EventStreamDecoder(), count = 0
        for byte in (0..<20).flatMap({ _ in Self.vector }) { count += try decoder.feed([byte]).count }
        #expect(count == 20)
    }

    @Test("any flipped byte is noticed") func everyByteCounts() {
        for index in Self.vector.indices {
            var broken = Self.vector
            broken[index] ^= 0x10
            #expect(throws: EventStreamDecoder.Malformed.self) {
                var decoder = EventStreamDecoder()
                _ = try decoder.feed(broken)
                try decoder.end()
            }
        }
    }

    @Test("headers of every type are read past, strings kept; a repeated one and a torn one are refused") func headerTypes() throws {
        func header(_ name: String, _ rest: [UInt8]) -> [UInt8] { [UInt8(name.utf8.count)] + Array(name.utf8) + rest }
        let others: [[UInt8]] = [
            [0], [1], [2, 1], [3, 0, 1], [4, 0, 0, 0, 1], [5] + Array(repeating: 0, count: 8), [6, 0, 2, 9, 9], [8] + Array(repeating: 0, count: 8),
            [9] + Array(repeating: 7, count: 16),
        ]
        let all = others.enumerated().flatMap { header("h\($0)", $1) } + header("s", [7, 0, 2] + Array("ok".utf8))
        var decoder = EventStreamDecoder()
        #expect(try decoder.feed(Self.frame(headers: all, payload: [1, 2])).first?.headers == ["s": "ok"])
        for wrong in [header("a", [0]) + header("a", [1]), header("a", [7, 0, 9, 1]), header("a", [10]), [5, 1]] {
            #expect(throws: EventStreamDecoder.Malformed.self) {
                var decoder = EventStreamDecoder()
                _ = try decoder.feed(Self.frame(headers: wrong))
            }
        }
    }

    @Test("a length beyond what services send is refused before it is collected") func tooLong() {
        let prelude = Self.word(64 << 20) + Self.word(0)
        #expect(throws: EventStreamDecoder.Malformed.length) {
            var decoder = EventStreamDecoder()
            _ = try decoder.feed(prelude + Self.word(CRC32.of(prelude)))
        }
    }
}
