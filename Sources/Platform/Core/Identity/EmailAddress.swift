/// What counts as an e-mail address here: printable ASCII without quotes, comments and address literals (a part of RFC 5321), so that
/// an address has one spelling. A domain without a dot is fine on one's own machine.
public enum EmailAddress {
    /// The same rule for JSON Schema (ECMA 262); the whole has at most 254 characters.
    public static let pattern = "^[A-Za-z0-9.!#$%&'*+=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(\\.[A-Za-z0-9-]{1,63})*$"
    public static let maximumBytes = 254

    public static func isValid(_ text: String) -> Bool {
        let parts = text.utf8.split(separator: UInt8(ascii: "@"), omittingEmptySubsequences: false)
        guard parts.count == 2, text.utf8.count <= maximumBytes, (1...64).contains(parts[0].count) else { return false }
        return parts[0].allSatisfy { isAlphanumeric($0) || ".!#$%&'*+=?^_`{|}~-".utf8.contains($0) }
            && parts[1].split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false).allSatisfy { label in
                (1...63).contains(label.count) && label.allSatisfy { isAlphanumeric($0) || $0 == UInt8(ascii: "-") }
            }
    }

    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
        default: false
        }
    }
}
