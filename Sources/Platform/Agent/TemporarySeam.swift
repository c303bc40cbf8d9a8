import Foundation
import Platform
public struct WorkspaceLayout: Sendable {
    public var root: String
    public var home: String
    public init(root: String = "/workspace", home: String = "/home/agent") { self.root = root; self.home = home }
    public var group: String { root + "/group" }
    public var attachments: String { root + "/attachments" }
    public var sessions: String { home + "/.claude" }
}
