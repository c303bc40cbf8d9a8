import Foundation

/// Turns `Codable` values into documents and back, without a detour over JSON text: dates as ``Timestamp`` text, bytes as
/// base64, absent optionals left out.
public enum DocumentCoder {
    /// - Throws: `EncodingError` when the value is no keyed type, or holds what a ``Value`` cannot.
    public static func encode(_ value: some Encodable) throws -> Document {
        let encoded = try ValueEncoder.encode(value)
        guard case .object(let document) = encoded else {
            throw EncodingError.invalidValue(
                value, .init(codingPath: [], debugDescription: "a document needs a type with named fields"))
        }
        return document
    }
    /// - Throws: `DecodingError`
    public static func decode<T: Decodable>(_ type: T.Type, from document: Document) throws -> T {
        try ValueDecoder.decode(type, from: .object(document))
    }
}
