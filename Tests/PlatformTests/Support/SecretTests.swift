import Foundation
import Pace
import Platform
import Testing

@Suite("Secrets and lists of allowed tools", .paced)
struct SecretTests {
    struct Holder {
        var name = "x"; var token = Secret("canary-123"); var more: [String: Secret] = ["k": Secret("canary-123")];
        var maybe: Secret? = Secret("canary-123")
    }

    @Test("SEC-52 a secret prints as redacted through description, interpolation, reflection and dump")
    func SEC_52_redaction() {
        let secret = Secret("canary-123")
        var dumped = ""
        dump(Holder(), to: &dumped)
        dump(secret, to: &dumped)
        let texts = [
            secret.description, secret.debugDescription, "\(secret)", String(describing: secret), String(reflecting: secret),
            "\(Holder())", String(reflecting: Holder()), "\([secret])", "\(Optional(secret) as Any)", dumped,
            "\(Mirror(reflecting: secret).children.map { "\($0)" })", "\(SecretStoreError.cannotOpen(SecretName("local/k")))",
            String(format: "%@", "\(secret)" as NSString),
        ]
        for text in texts { #expect(!text.contains("canary")) }
        #expect("\(secret)" == "‹redacted›")
        #expect(secret.reveal() == "canary-123")
    }

    @Test("SEC-52 a secret is neither Encodable nor Equatable")
    func SEC_52_notCodable() {
        #expect(!((Secret("x") as Any) is any Encodable))
        #expect(!((Secret("x") as Any) is any Equatable))
    }

    @Test(
        "equal secrets are the same, others are not",
        arguments: [
            ("", "", true), ("a", "a", true), ("a", "b", false), ("a", "ab", false), ("é", "e\u{301}", false), ("", "x", false),
        ])
    func sameSecret(_ a: String, _ b: String, _ same: Bool) { #expect(Digest.sameSecret(a, b) == same) }

    @Test("base64url: one spelling, no padding", arguments: [[], [0], [0, 1], [251, 255, 254], Array(0...255)] as [[UInt8]])
    func base64URL(_ bytes: [UInt8]) {
        let text = Digest.base64URL(bytes)
        #expect(!text.contains("=") && !text.contains("+") && !text.contains("/"))
        #expect(Digest.fromBase64URL(text) == Data(bytes))
        #expect(Digest.fromBase64URL(text + "=") == nil)
    }

    // MARK: Tools

    static let list = ToolWhitelist(
        mcpToolsEnabled: true,
        allowedMcpTools: [
            "mcp__search__query", "mcp__duckduckgo__*", "mcp__files__read_*", "mcp__*", "mcp__a*", "*", "mcp__b_*",
            "mcp__one__two__*",
        ])

    @Test(
        "SEC-88 allowed are byte-equal names and patterns inside one server",
        arguments: [
            "mcp__search__query", "mcp__duckduckgo__search", "mcp__duckduckgo__", "mcp__files__read_file", "Bash", "Read",
            "mcp__one__two__three",
        ])
    func SEC_88_allowed(_ tool: String) { #expect(Self.list.allows(tool: tool)) }

    @Test(
        "SEC-88 neighbours, other servers, case and Unicode twins are denied",
        arguments: [
            "mcp__search__query2", "mcp__search__Query", "mcp__Search__query", "mcp__duckduckgo_evil__search",
            "mcp__duckduckgo_evil", "mcp__duckduckgo", "mcp__files__write_file", "mcp__clawbot__x", "mcp__abc__x", "mcp__b_c__x",
            "mcp__se\u{430}rch__query", "mcp__search__qu\u{65}\u{301}ry", "mcp__one__other", "mcp__",
        ])
    func SEC_88_denied(_ tool: String) { #expect(!Self.list.allows(tool: tool)) }

    @Test("without the restriction every tool is allowed")
    func unrestricted() { #expect(ToolWhitelist().allows(tool: "mcp__any__thing")) }
}
