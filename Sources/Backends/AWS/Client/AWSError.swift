import Foundation
import NIOHTTP1
import Platform

/// What a service answered when it refused.
public struct AWSError: Error, Sendable, Equatable, CustomStringConvertible {
    public var status: Int
    /// Without namespace and link, e.g. `ThrottlingException`.
    public var code: String
    public var message: String

    public init(status: Int, code: String, message: String) { self.status = status; self.code = code; self.message = message }

    /// Of a JSON protocol: the code is in a header, else in the body.
    init(status: Int, headers: HTTPHeaders, body: Data) {
        let json = try? JSON.value(body)
        let code = headers.first(name: "x-amzn-errortype") ?? json?["__type"]?.string ?? json?["code"]?.string ?? ""
        self.init(status: status, code: Self.clean(code), message: json?["message"]?.string ?? json?["Message"]?.string ?? "")
    }

    /// `com.amazon.coral#ThrottlingException:http://…` is `ThrottlingException`.
    private static func clean(_ code: String) -> String {
        let name = code.split(separator: "#").last.map(String.init) ?? code
        return String(name.prefix { $0 != ":" }).trimmingCharacters(in: .whitespaces)
    }

    /// Fresh credentials may cure it.
    var meansExpiredCredentials: Bool {
        ["ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException"].contains(code)
    }
    public var description: String { "AWS status \(status) \(code): \(message)" }
}
