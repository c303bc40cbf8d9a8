import Platform
struct LeaseKeeper { init(records: any RecordStore, owner: String, time: any TimeSource) {}; func whileHeld(_ n: String, _ b: (Int) async -> Void) async {} }
typealias Run = Platform.Run
