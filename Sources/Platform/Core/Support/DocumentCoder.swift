import Foundation

/// Turns `Codable` values into documents and back: dates as ``Timestamp`` text, absent optionals left out.
public enum DocumentCoder {
    public static func encode(_ value: some Encodable) throws -> Document {
        guard case .object(let document) = try JSON.value(JSON.encode(value)) else { throw CocoaError(.coderInvalidValue) }
        return document
    }
    public static func decode<T: Decodable>(_ type: T.Type, from document: Document) throws -> T {
        try JSON.decode(type, from: JSON.data(.object(document)))
    }
}
