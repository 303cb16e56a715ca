"""What joins frames over time: optical flow, masks carried along it, and the noise filter."""
