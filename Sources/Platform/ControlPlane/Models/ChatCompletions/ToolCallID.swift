import Foundation
import Platform

/// Ids of tool calls between two worlds: the Messages API takes `[A-Za-z0-9_-]+` only, other endpoints hand out anything (`functions.Bash:0`)
/// and some want it back to the letter.
enum ToolCallID {
    private static let prefix = "oai64_"

    /// The id as the agent sees it.
    static func inner(_ id: String) -> String {
        let isPlain = !id.isEmpty && id.utf8.count <= 128 && id.utf8.allSatisfy(isPlain) && !id.hasPrefix(prefix)
        return isPlain ? id : prefix + Digest.base64URL(Array(id.utf8))
    }

    /// The id as the endpoint gave it.
    static func outer(_ id: String) -> String {
        guard id.hasPrefix(prefix), let data = Digest.fromBase64URL(id.dropFirst(prefix.count)) else { return id }
        return String(data: data, encoding: .utf8) ?? id
    }

    private static func isPlain(_ byte: UInt8) -> Bool {
        byte >= 0x30 && byte <= 0x39 || byte >= 0x41 && byte <= 0x5a || byte >= 0x61 && byte <= 0x7a || byte == 0x5f || byte == 0x2d
    }
}
