import GRDB
import AsyncHTTPClient
