import Foundation

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// The content type that a put was given, kept as an extended attribute of the file when its name would say another.
/// Where the file system has none, the name decides.
enum ContentTypeAttribute {
    private static let name = "user.clawbot.content-type"
    private static let longest = 128

    #if os(Linux)
    // Swift's Glibc module leaves <sys/xattr.h> out.
    private typealias Set = @convention(c) (Int32, UnsafePointer<CChar>, UnsafeRawPointer, Int, Int32) -> Int32
    private typealias Get = @convention(c) (Int32, UnsafePointer<CChar>, UnsafeMutableRawPointer, Int) -> Int
    private static let set: Set? = dlsym(nil, "fsetxattr").map { unsafeBitCast($0, to: Set.self) }
    private static let get: Get? = dlsym(nil, "fgetxattr").map { unsafeBitCast($0, to: Get.self) }
    #endif

    static func write(_ type: String, to file: Descriptor) {
        let bytes = Array(type.utf8)
        guard isPlain(bytes) else { return }
        #if os(Linux)
        _ = set?(file.number, name, bytes, bytes.count, 0)
        #else
        _ = fsetxattr(file.number, name, bytes, bytes.count, 0, 0)
        #endif
    }

    static func read(from file: Descriptor) -> String? {
        var bytes = [UInt8](repeating: 0, count: longest)
        #if os(Linux)
        let count = get?(file.number, name, &bytes, bytes.count) ?? -1
        #else
        let count = fgetxattr(file.number, name, &bytes, bytes.count, 0, 0)
        #endif
        guard count > 0 else { return nil }
        bytes.removeSubrange(count...)
        // An agent may have written it: it ends up in a header.
        return isPlain(bytes) ? String(decoding: bytes, as: UTF8.self) : nil
    }

    private static func isPlain(_ bytes: [UInt8]) -> Bool { (1...longest).contains(bytes.count) && bytes.allSatisfy { $0 >= 0x20 && $0 < 0x7f } }
}
