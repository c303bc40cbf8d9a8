/// The last filter before a line is written: masks what has the shape of a credential, whoever logged it by mistake (SEC-52).
///
/// It is a net under the type `Secret`, not instead of it. Known: values after `Bearer` and `Basic`, user and password in URLs,
/// tokens of Telegram, Anthropic, OpenAI, Slack, GitHub, Google and AWS, JWTs, our own grants and refresh tokens, and any
/// base64url text that is long and mixed enough to be a random key. Ids (ULID, UUID, hex digests) stay readable.
public enum LogRedaction {
    public static let mask = "‹redacted›"

    /// Names of fields whose value is a secret whatever it looks like.
    private static let secretFields: Set<String> = [
        "authorization", "password", "passphrase", "secret", "token", "accesstoken", "refreshtoken", "bottoken", "apikey", "cookie", "setcookie", "grant",
        "credentials", "signingsecret", "xapikey", "masterkey",
    ]

    public static func masked(_ text: String, field: String? = nil) -> String {
        if let field, secretFields.contains(field.lowercased().filter { $0.isLetter }) { return text.isEmpty ? text : mask }
        var out = "", word: [UInt8] = [], isAfterScheme = false
        // Most lines hold nothing: then the text is returned as it is.
        var changed = false
        func flush() {
            guard !word.isEmpty else { return }
            let shown = String(decoding: word, as: UTF8.self)
            let lower = shown.lowercased()
            if isAfterScheme, word.count >= 6 {
                out += mask
                changed = true
                isAfterScheme = false
            } else if let kept = keptPrefix(word) {
                out += shown.prefix(kept) + mask
                changed = true
                isAfterScheme = false
            } else {
                out += shown
                isAfterScheme = lower == "bearer" || lower == "basic"
            }
            word.removeAll(keepingCapacity: true)
        }
        for scalar in text.unicodeScalars {
            if isWord(scalar) {
                word.append(UInt8(scalar.value))
            } else {
                // `https://user:password@host`: the word before an @ that follows `//`.
                if scalar == "@", word.contains(UInt8(ascii: ":")), out.hasSuffix("//") {
                    out += mask
                    changed = true
                    word.removeAll(keepingCapacity: true)
                } else {
                    flush()
                    if scalar != " " { isAfterScheme = false }
                }
                out.unicodeScalars.append(scalar)
            }
        }
        flush()
        return changed ? out : text
    }

    /// How many characters of a word may be shown when it is a credential; nil when it is none.
    private static func keptPrefix(_ word: [UInt8]) -> Int? {
        guard word.count >= 16 else { return nil }
        // `bot` before a Telegram token is part of its URLs.
        let bare = word.starts(with: Array("bot".utf8)) ? word.dropFirst(3) : word[...]
        for prefix in known where bare.starts(with: prefix) && bare.count >= prefix.count + 10 { return word.count - bare.count + prefix.count }
        if let colon = bare.firstIndex(of: UInt8(ascii: ":")) {
            let number = bare[bare.startIndex..<colon], rest = bare[(colon + 1)...]
            if (5...15).contains(number.count), number.allSatisfy(isDigit), rest.count >= 30, rest.allSatisfy(isBase64URL) { return 0 }
        }
        let parts = bare.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        if parts.count == 3, parts.allSatisfy({ $0.allSatisfy(isBase64URL) }) {
            if parts[0].starts(with: Array("eyJ".utf8)), parts[1].count >= 8 { return 0 }
            if parts[0].elementsEqual("v1".utf8), parts[2].count >= 40 { return 0 }
        }
        return word.split(whereSeparator: { $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: ":") || $0 == UInt8(ascii: "~") }).contains(where: isRandom) ? 0 : nil
    }

    private static let known = [
        "sk-ant-", "sk-proj-", "sk-", "xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xapp-", "ghp_", "gho_", "ghs_", "github_pat_", "glpat-", "AIza", "AKIA", "ASIA",
        "EAAG",
    ].map { Array($0.utf8) }

    /// 40 base64 characters or more of all three kinds: 240 random bits look so, names and hex digests do not.
    private static func isRandom(_ part: ArraySlice<UInt8>) -> Bool {
        guard part.count >= 40, part.allSatisfy({ isBase64URL($0) || $0 == UInt8(ascii: "+") }) else { return false }
        var upper = 0, lower = 0, digits = 0
        for byte in part {
            switch byte {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): upper += 1
            case UInt8(ascii: "a")...UInt8(ascii: "z"): lower += 1
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digits += 1
            default: break
            }
        }
        return upper >= 5 && lower >= 5 && digits >= 2
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }
    private static func isBase64URL(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"): true
        default: false
        }
    }
    private static func isWord(_ scalar: Unicode.Scalar) -> Bool {
        guard scalar.isASCII else { return false }
        let byte = UInt8(scalar.value)
        return isBase64URL(byte) || ".:+~".utf8.contains(byte)
    }
}
