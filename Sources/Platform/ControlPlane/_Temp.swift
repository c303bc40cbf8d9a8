import Platform
public typealias Run = Platform.Run
