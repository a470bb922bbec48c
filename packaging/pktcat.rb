# Homebrew: packaging/recipes.sh fills in where a release is, and its checksum; `brew install --HEAD` needs neither.
class Pktcat < Formula
  desc "Netcat for TCP and UDP with honest endings"
  homepage "https://example.org/pktcat"
  url "https://example.org/pktcat/pktcat-0.2.0.tar.gz"
  sha256 "0000000000000000000000000000000000000000000000000000000000000000"
  license any_of: ["MIT", "Apache-2.0"]
  head "https://example.org/pktcat.git", branch: "main"

  depends_on "rust" => :build

  def install
    system "cargo", "install", *std_cargo_args
    man1.install Dir["man/*.1"]
    man5.install Dir["man/*.5"]
    man7.install Dir["man/*.7"]
    generate_completions_from_executable(bin/"pktcat", "completions")
  end

  test do
    port = free_port
    server = spawn bin/"pktcat", "listen", "--echo", "127.0.0.1", port.to_s
    sleep 1
    assert_equal "hello", shell_output("#{bin}/pktcat connect --send hello 127.0.0.1 #{port}")
  ensure
    Process.wait server
  end
end
